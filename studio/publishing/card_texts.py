"""The words of a model card; its code examples are those of deploy_texts.py."""

TITLE = """
# {name}

{summary}
"""

# what a repository holds at its top, and in folders beside it
FORMS = {"whole": "This repository holds the whole model.", "merged": "This repository holds the merged model.",
         "adapter": "This repository holds the adapter alone.",
         "gguf": "This repository holds GGUF files for llama.cpp and Ollama."}
FOLDERS = {"adapter": "The adapter is in the folder `adapter`.", "gguf": "GGUF files are in the folder `gguf`."}

# the repository of the whole model, where that is another one
BESIDE = {"adapter": "Merged into its base model it is {whole}.", "gguf": "They were made of {whole}."}

PURPOSE = """
## What it is for

{lines}
"""

USE = """
## How to use it

{usage}
"""

USE_WAY = """With {way}:

{fence}{language}
{code}
{fence}"""

RESULTS = """
## Results

Base and tuned model were judged on the same {judged_on}. In brackets: the range in which the figure lies with 95 %
confidence, given so few rows.

| Measure | Base | Tuned |
| --- | ---: | ---: |
{rows}

{duels}
"""

ROUNDED = """
The figures are those of the trained model itself. A GGUF file rounds its weights and may answer otherwise.
"""

WAYS = """
### Was the training worth it?

**{headline}**

{grounds}

| Way of asking | {metric} | Tuned model ahead by | Prompt tokens | Answer tokens | Seconds a request |
| --- | ---: | ---: | ---: | ---: | ---: |
{rows}

{asked}

What got better:

{better}

What got worse:

{worse}
"""

# what the base model was asked besides the bare row
PROMPTS = {"few_shot": "with training rows as examples in its prompt",
           "retrieval": "with the nearest training rows looked up (BM25)"}
SECONDS = ("Seconds are a request's share of a batch on the machine that compared; those of another service are the "
           "whole wait for its answer.")

# what was metered while it trained
METERED = {"gpu": "GPU", "cpu": "processor", "gpu+cpu": "GPU and processor"}

DUELS = "Row by row the tuned model did better {wins} times, the same {ties} times and worse {losses} times."

NO_RESULTS = """
## Results

This model was not compared with its base model.
"""

TRAINING = """
## Training

| | |
|---|---|
{rows}
"""

CHECKED = """
## Checked before publishing

{asked}The tokenizer, chat template and end of answers of the exported files are those of the training.

{lines}
"""

ASKED = """\
The exported files were loaded by themselves, without the training's software, and answered {prompts} greedily
beside the trained model.
"""

LIMITS = """
## Limits

- {measured}
- The model can be wrong, and it has the weaknesses and biases of its base model. It was not tested for safety.
- {licence}
"""

PRESET = """
## Preset

<details>
<summary>The whole run as one file for Fine-Tune Studio, based on Unsloth</summary>

{fence}yaml
{preset}
{fence}

</details>
"""
