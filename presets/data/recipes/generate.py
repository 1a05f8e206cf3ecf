"""Write the recipe data set: ingredient lines as people write them, and the JSON that they mean.

    python presets/data/recipes/generate.py            writes train.jsonl and heldout.jsonl beside this file
    python presets/data/recipes/generate.py --check    exit code 1 where the files differ from what would be written

The same seed gives the same bytes. Training and held-out rows share no ingredient. README.md has the rules of the JSON.
"""

import json
import random
import sys
from dataclasses import dataclass
from pathlib import Path

SEED = 20261122
TRAIN_ROWS, HELDOUT_ROWS = 400, 80
SYSTEM_PROMPT = "Turn the ingredient line into JSON with quantity, unit, name, preparation."

# A unit as one, as many, and its abbreviations.
UNITS = {
    "g": ("gram", "grams", ("g", "g", "g", "gr")),
    "kg": ("kilogram", "kilograms", ("kg", "kg", "kilo")),
    "ml": ("millilitre", "milliliters", ("ml", "ml", "mL")),
    "l": ("litre", "liters", ("l", "L")),
    "tsp": ("teaspoon", "teaspoons", ("tsp", "tsp", "tsp.", "Tsp")),
    "tbsp": ("tablespoon", "tablespoons", ("tbsp", "tbsp", "tbsp.", "Tbsp")),
    "cup": ("cup", "cups", ()),
    "oz": ("ounce", "ounces", ("oz", "oz.")),
    "lb": ("pound", "pounds", ("lb", "lb.")),
    "pinch": ("pinch", "pinches", ()),
    "handful": ("handful", "handfuls", ()),
    "bunch": ("bunch", "bunches", ()),
    "sprig": ("sprig", "sprigs", ()),
    "clove": ("clove", "cloves", ()),
    "slice": ("slice", "slices", ()),
    "can": ("can", "cans", ()),
    "jar": ("jar", "jars", ()),
}
METRIC = ("g", "kg", "ml", "l")
SPOONS = {"tsp": ("heaped", "level", "rounded"), "tbsp": ("heaped", "level", "generous"), "cup": ("scant", "heaped"),
          "handful": ("small", "generous", "large"), "pinch": ("generous", "small")}
ALWAYS_OF = ("pinch", "handful", "bunch")

# Amounts as the number meant and the ways to write it; a range means its larger end.
COUNTS = [
    (1, ("1", "one")), (2, ("2", "2", "two")), (3, ("3", "3", "three")), (4, ("4", "four")), (5, ("5", "five")),
    (6, ("6", "six")), (8, ("8", "eight")), (3, ("2-3", "2 to 3")), (4, ("3-4", "3 to 4")), (6, ("5-6", "5 or 6")),
    (2, ("1-2", "1 or 2")),
]
PARTS = [
    (0.5, ("1/2", "½", "half a", "0.5")), (0.25, ("1/4", "¼")), (0.75, ("3/4", "¾")), (1.5, ("1 1/2", "1½", "1.5")),
    (2.5, ("2 1/2", "2½", "2.5")), (1.25, ("1 1/4", "1¼")), (1, ("1", "1", "one", "a")), (2, ("2", "two")),
    (3, ("3", "three")), (4, ("4",)), (2, ("1-2", "1 to 2")), (3, ("2-3",)),
]
HUNDREDS = [(n, (str(n),)) for n in (15, 25, 40, 50, 60, 75, 80, 100, 110, 120, 125, 140, 150, 175, 180, 200, 225, 250,
                                     275, 300, 330, 350, 375, 400, 450, 500, 600, 650, 700, 750, 800)]
HUNDREDS += [(150, ("100-150",)), (250, ("200-250", "200 to 250")), (400, ("300-400",))]
AMOUNTS = {
    "g": HUNDREDS, "ml": HUNDREDS, "oz": [(n, (str(n),)) for n in (2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16)],
    "kg": PARTS, "l": PARTS, "tsp": PARTS, "tbsp": PARTS, "cup": PARTS, "lb": PARTS,
    "pinch": [(1, ("a", "a", "1", "one")), (2, ("2", "two"))],
    "handful": [(1, ("a", "a", "1")), (2, ("2", "two"))],
    "bunch": [(1, ("a", "1", "one")), (0.5, ("half a", "1/2", "½")), (2, ("2", "two"))],
    "sprig": COUNTS, "clove": COUNTS, "slice": COUNTS, "can": COUNTS[:3],
    "jar": [(1, ("1", "a", "one")), (0.5, ("half a", "1/2"))],
    "": [*COUNTS, (1, ("a", "a")), (0.5, ("half a", "1/2", "½"))],
}


@dataclass(frozen=True)
class Kind:
    """Ingredients of one kind; "carrot/carrots" gives one and many.

    `units` are those that fit ("" counts pieces), `done` stands before or after the name, `added` only after it.
    """

    units: tuple[str, ...]
    done: tuple[str, ...]
    added: tuple[str, ...]
    train: str
    heldout: str = ""


KINDS = [
    Kind(("", "", "", "g", "kg", "lb"),
         ("chopped", "finely chopped", "diced", "peeled", "thinly sliced", "roughly chopped", "shredded"),
         ("cut into strips", "peeled and diced", "cut into chunks", "halved lengthwise", "trimmed and sliced"),
         "carrot/carrots|red onion/red onions|courgette/courgettes|celery stalk/celery stalks|red pepper/red peppers|"
         "potato/potatoes|leek/leeks|cucumber/cucumbers|tomato/tomatoes|aubergine/aubergines|"
         "white cabbage/white cabbages|button mushroom/button mushrooms|spring onion/spring onions|"
         "green chilli/green chillies|beetroot/beetroots",
         "parsnip/parsnips|shallot/shallots|turnip/turnips|radish/radishes|swede/swedes|artichoke/artichokes|"
         "cauliflower/cauliflowers|butternut squash/butternut squashes|gherkin/gherkins"),
    Kind(("", "", "g", "cup", "kg"), ("peeled", "sliced", "mashed", "diced", "halved", "roughly chopped"),
         ("peeled and cored", "cut into wedges", "stones removed", "thawed if frozen"),
         "apple/apples|banana/bananas|ripe mango/ripe mangoes|orange/oranges|pear/pears|peach/peaches|"
         "avocado/avocados|fresh fig/fresh figs|strawberry/strawberries",
         "quince/quinces|plum/plums|nectarine/nectarines|kiwi/kiwis|papaya/papayas|apricot/apricots"),
    Kind(("tbsp", "tbsp", "bunch", "sprig", "handful", "cup", "tsp"),
         ("chopped", "finely chopped", "torn", "roughly chopped", "snipped"),
         ("leaves only", "stems removed", "plus extra to serve", "washed and dried"),
         "fresh parsley|basil|coriander|fresh dill|mint leaves|rosemary|chives|sage",
         "tarragon|fresh thyme|marjoram|chervil|sorrel"),
    Kind(("tsp", "tsp", "tbsp"), ("toasted", "freshly ground", "crushed", "lightly crushed"), ("ground in a mortar",),
         "cumin seeds|black peppercorns|coriander seeds|cardamom pods", "allspice|caraway|juniper berries"),
    Kind(("tsp", "tbsp", "pinch", "pinch", "pinch"), (), ("plus more for dusting", "divided"),
         "cinnamon|smoked paprika|turmeric|sea salt|chilli flakes|nutmeg|dried oregano|white pepper",
         "cayenne|garam masala|saffron|sumac"),
    Kind(("g", "g", "cup", "cup", "tbsp", "kg", "oz"), ("sifted",), ("plus extra for dusting", "divided"),
         "plain flour|caster sugar|cornflour|cocoa powder|semolina|icing sugar",
         "spelt|demerara|arrowroot|polenta"),
    Kind(("g", "g", "cup", "cup", "kg", "oz"), ("rinsed", "cooked", "toasted"),
         ("rinsed and drained", "soaked overnight"),
         "brown rice|rolled oats|red lentils|couscous|pasta shells", "basmati|quinoa|pearl barley|bulgur|buckwheat"),
    Kind(("ml", "ml", "l", "cup", "cup"), ("chilled", "warmed", "hot"), ("at room temperature", "divided"),
         "whole milk|chicken stock|water|white wine|coconut milk|double cream|orange juice",
         "vegetable broth|buttermilk|dry cider|passata|stout"),
    Kind(("tbsp", "tbsp", "tsp", "cup"), ("warmed",), ("plus extra for drizzling", "divided"),
         "olive oil|soy sauce|lemon juice|honey|red wine vinegar|fish sauce|dijon mustard",
         "maple syrup|tamari|molasses|dark rum"),
    Kind(("g", "g", "cup", "oz"), ("grated", "crumbled", "cubed", "finely grated", "sliced"),
         ("cut into cubes", "rind removed", "plus extra to serve"),
         "parmesan|cheddar|feta|mozzarella", "gruyère|halloumi|stilton|manchego"),
    Kind(("g", "g", "cup", "tbsp", "oz"), ("softened", "chilled"), ("at room temperature", "divided"),
         "unsalted butter|cream cheese|greek yogurt|ricotta", "mascarpone|crème fraîche|margarine"),
    Kind(("g", "g", "kg", "lb", "oz"), ("diced", "minced", "sliced", "trimmed", "thinly sliced", "cooked"),
         ("cut into bite-size pieces", "skin removed", "patted dry", "cut into strips"),
         "chicken breast|stewing beef|pork shoulder|salmon fillet|lamb leg|cod|raw prawns|turkey breast",
         "duck|veal escalope|mackerel|venison|squid|haddock"),
    Kind(("slice", "slice", "slice", "g"), ("toasted", "chopped", "diced", "fried"),
         ("cut into cubes", "torn in pieces"),
         "white bread|smoked bacon|ham|sourdough", "brioche|pancetta|rye loaf"),
    Kind(("can", "can", "jar", "g"), ("drained", "rinsed", "crushed"),
         ("drained and rinsed", "liquid reserved"),
         "chickpeas|kidney beans|tuna|sweetcorn|black olives|anchovies", "cannellini|capers|jackfruit|lychees"),
    Kind(("g", "g", "cup", "handful", "tbsp", "oz"),
         ("toasted", "chopped", "roughly chopped", "crushed", "lightly toasted"),
         ("plus a few to serve", "soaked overnight"),
         "walnuts|almonds|pine nuts|cashews|sesame seeds|raisins",
         "hazelnuts|pecans|pumpkin kernels|dried cranberries|pistachios"),
    Kind(("clove",), ("crushed", "minced", "finely chopped", "peeled", "thinly sliced"), ("peeled and bruised",),
         "garlic|smoked garlic"),
    Kind(("",), ("beaten", "lightly beaten", "separated", "hard-boiled"), ("at room temperature",),
         "egg/eggs|large egg/large eggs"),
]


def build() -> dict[str, str]:
    """The two files as {name: text}."""
    source = random.Random(SEED)
    return {"train.jsonl": _file(source, "train", TRAIN_ROWS), "heldout.jsonl": _file(source, "heldout", HELDOUT_ROWS)}


def _file(source: random.Random, split: str, rows: int) -> str:
    """Rows in random order; every ingredient comes about equally often and no line comes twice."""
    pairs = [(kind, name) for kind in KINDS for name in getattr(kind, split).split("|") if name]
    lines: dict[str, str] = {}
    while len(lines) < rows:
        source.shuffle(pairs)
        for kind, name in pairs:
            line, meaning = _ingredient(source, kind, name)
            if len(lines) < rows:
                lines[line] = json.dumps(meaning, ensure_ascii=False)
    return "".join(json.dumps({"messages": [
        {"role": "system", "content": SYSTEM_PROMPT},
        {"role": "user", "content": line},
        {"role": "assistant", "content": answer},
    ]}, ensure_ascii=False) + "\n" for line, answer in lines.items())


def _ingredient(source: random.Random, kind: Kind, name: str) -> tuple[str, dict]:
    """One line and what it means."""
    before, after = _preparation(source, kind)
    if {"pinch", "tbsp"} & set(kind.units) and source.random() < 0.2:
        quantity, unit, name = None, None, name.split("/")[-1]
        line = _without_amount(source, name, before, after)
    else:
        unit = source.choice(kind.units)
        quantity, written = source.choice(AMOUNTS[unit])
        one, _, many = name.partition("/")
        name = one if quantity <= 1 and not unit else many or one
        line = _with_amount(source, quantity, source.choice(written), unit, name, before, after)
    if source.random() < 0.25:
        line = line[0].upper() + line[1:]
    return line, {"quantity": quantity, "unit": unit or None, "name": name, "preparation": before or after or None}


def _preparation(source: random.Random, kind: Kind) -> tuple[str, str]:
    """What is said of the preparation before the name and after it; at most one of them."""
    chance = source.random()
    if chance < 0.32 and kind.done:
        return source.choice(kind.done), ""
    if chance < 0.68:
        return "", source.choice(kind.done + kind.added)
    return "", ""


def _without_amount(source: random.Random, name: str, before: str, after: str) -> str:
    named = f"{before} {name}".strip()
    if after:
        return source.choice((f"{named}, {after}", f"{named} ({after})", f"some {named}, {after}"))
    return source.choice((f"{named} to taste", f"{named}, to taste", f"some {named}", f"a little {named}"))


def _with_amount(
    source: random.Random, quantity: float, written: str, unit: str, name: str, before: str, after: str
) -> str:
    named = f"{before} {name}".strip()
    measure, of = _measure(source, quantity, written, unit)
    if measure[0].isdigit() and source.random() < 0.06:
        measure = f"{source.choice(('about', 'approx.'))} {measure}"
    if not measure.startswith(("a ", "half a")) and measure != "a" and source.random() < 0.22:
        return _name_first(source, measure, named, after)
    line = _with_article(f"{measure} {'of ' if of else ''}{named}")
    if not after:
        return line
    return source.choice((f"{line}, {after}", f"{line}, {after}", f"{line} ({after})", f"{line} - {after}"))


def _name_first(source: random.Random, measure: str, named: str, after: str) -> str:
    forms = ["{named}, {measure}", "{named}: {measure}", "{named} - {measure}", "{named} ({measure})"]
    if after:
        forms = ["{named}, {after}, {measure}", "{named} ({after}) - {measure}", "{named} ({measure}), {after}"]
    return source.choice(forms).format(named=named, measure=measure, after=after)


def _measure(source: random.Random, quantity: float, written: str, unit: str) -> tuple[str, bool]:
    """Amount and unit as written, and whether "of" follows."""
    if not unit:
        return written, False
    one, many, short = UNITS[unit]
    spelt = one if quantity <= 1 else many
    if written not in ("a", "half a") and short and source.random() < 0.65:
        spelt = source.choice(short)
        if unit in METRIC and written[-1].isdigit() and source.random() < 0.5:
            return written + spelt, source.random() < 0.1
    elif unit in SPOONS and source.random() < 0.25 and written != "half a":
        spelt = f"{source.choice(SPOONS[unit])} {spelt}"
    if unit == "can" and source.random() < 0.3:
        return f"{written} {spelt} ({source.choice((200, 240, 400))} g)", False
    return f"{written} {spelt}", unit in ALWAYS_OF or source.random() < 0.35


def _with_article(line: str) -> str:
    for article in ("a ", "half a "):
        if line.startswith(article) and line[len(article)] in "aeiou":
            return f"{article.rstrip()}n {line[len(article):]}"
    return line


def main() -> int:
    folder = Path(__file__).parent
    files = build()
    if "--check" in sys.argv[1:]:
        stale = [name for name, text in files.items() if (folder / name).read_text(encoding="utf-8") != text]
        print(f"{', '.join(stale)} differ from what the generator writes." if stale else "The files are up to date.")
        return 1 if stale else 0
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
        print(f"{name}: {text.count(chr(10))} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
