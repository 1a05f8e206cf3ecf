"""A bare Unsloth script as one would write it by hand, with the settings of benchmarks/overhead.py and no studio.

usage: python bare_unsloth.py MODEL_DIR ROWS.jsonl OUT_DIR STEPS
"""

import json
import sys

# isort: off
from unsloth import FastLanguageModel
# isort: on
from datasets import Dataset
from trl import SFTConfig, SFTTrainer

model_dir, rows_file, out_dir, steps = sys.argv[1:]
# ChatML with the marks that tell TRL what the assistant says
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\n' }}{% else %}"
    "{{ message['content'] + '<|im_end|>\n' }}{% endif %}{% endfor %}"
)

model, tokenizer = FastLanguageModel.from_pretrained(
    model_dir, max_seq_length=256, load_in_4bit=False, use_gradient_checkpointing=False)
model = FastLanguageModel.get_peft_model(
    model, r=16, lora_alpha=32, random_state=3407, use_gradient_checkpointing=False)
tokenizer.chat_template = TEMPLATE
with open(rows_file, encoding="utf-8") as file:
    rows = Dataset.from_list([json.loads(line) for line in file])
trainer = SFTTrainer(
    model=model, processing_class=tokenizer, train_dataset=rows,
    args=SFTConfig(
        output_dir=out_dir, max_length=256, max_steps=int(steps), per_device_train_batch_size=8,
        gradient_accumulation_steps=1, learning_rate=1e-3, lr_scheduler_type="linear", warmup_steps=0.05,
        weight_decay=0.001, optim="adamw_torch_fused", gradient_checkpointing=False, assistant_only_loss=True,
        logging_steps=1, save_steps=1000, seed=3407, report_to="none"))
outcome = trainer.train()
model.save_pretrained(f"{out_dir}/adapter")
losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
with open(f"{out_dir}/outcome.json", "w") as file:
    json.dump({"train_seconds": outcome.metrics["train_runtime"], "losses": losses}, file)
