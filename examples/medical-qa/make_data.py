#!/usr/bin/env python3
"""Writes the texts of this example: what the base model learns, the 84 rows of the LoRA, the 84 held-out rows.

    python3 make_data.py                writes data/train.jsonl and data/held_out.jsonl
    python3 make_data.py --base FOLDER  also writes FOLDER/base.jsonl, the texts of the base model

The base model is taught to answer short questions however they are put: about general things, and about made-up
illnesses and medicines. The LoRA is taught real ones, each in two wordings; the held-out rows ask for the same facts in
two other wordings. School knowledge, no medical advice.
"""
import argparse
import json
import pathlib
import random

# One relation: wordings of its question, and of its answer. The LoRA trains the first two questions, the last two are held out.
RELATIONS = {
    "doctor": (["Which doctor treats {}?", "Who should I see about {}?", "What kind of specialist do people with {} go to?",
                "I may have {}. Whose field is that?", "{}: which doctor is that for?",
                "My friend has {}. Name the right specialist."], "A {}."),
    "organ": (["Which part of the body does {} affect?", "Where in the body is {}?", "What does {} attack?",
               "Someone has {}. What is ill in them?", "{}: which part of the body is that?",
               "Name the part of the body that suffers from {}."], "The {}."),
    "drug": (["What kind of medicine is {}?", "What is {} used as?", "To which group does {} belong?",
              "I was given {}. What sort of drug is it?", "{}: what type of medicine is that?",
              "Name the class of medicines that {} is in."], "It is {}."),
}
TRAINED, HELD_OUT = (0, 1), (4, 5)

FACTS = {
    "doctor": {"eczema": "dermatologist", "asthma": "pulmonologist", "arrhythmia": "cardiologist",
               "cataract": "ophthalmologist", "migraine": "neurologist", "arthritis": "rheumatologist",
               "gastritis": "gastroenterologist", "sinusitis": "otolaryngologist", "diabetes": "endocrinologist",
               "cystitis": "urologist", "anemia": "hematologist", "depression": "psychiatrist", "scoliosis": "orthopedist",
               "nephrosis": "nephrologist"},
    "organ": {"hepatitis": "liver", "pneumonia": "lungs", "meningitis": "brain", "appendicitis": "appendix",
              "conjunctivitis": "eyes", "otitis": "ears", "dermatitis": "skin", "pancreatitis": "pancreas",
              "carditis": "heart", "osteoporosis": "bones", "colitis": "bowel", "gingivitis": "gums", "rhinitis": "nose",
              "tonsillitis": "throat"},
    "drug": {"amoxicillin": "an antibiotic", "ibuprofen": "a painkiller", "cetirizine": "an antihistamine",
             "omeprazole": "an acid blocker", "warfarin": "a blood thinner", "fluconazole": "an antifungal",
             "aciclovir": "an antiviral", "furosemide": "a diuretic", "salbutamol": "a bronchodilator",
             "atorvastatin": "a statin", "lisinopril": "a blood pressure drug", "diazepam": "a sedative",
             "loperamide": "a diarrhoea drug", "insulin": "a hormone"},
}

# What the base model knows of the wide world, asked in several ways.
WORLD = {
    (("What is the capital of {}?", "Name the capital of {}.", "{}: which city is its capital?",
      "Which city governs {}?"), "{}."): {
        "France": "Paris", "Spain": "Madrid", "Italy": "Rome", "Japan": "Tokyo", "China": "Beijing", "Egypt": "Cairo",
        "Kenya": "Nairobi", "Peru": "Lima", "Cuba": "Havana", "Norway": "Oslo", "Austria": "Vienna", "Poland": "Warsaw"},
    (("What colour is {}?", "Name the colour of {}.", "{}: what colour is that?", "Of what colour is {}?"), "{}."): {
        "a lemon": "Yellow", "grass": "Green", "the sky": "Blue", "snow": "White", "coal": "Black", "blood": "Red",
        "a carrot": "Orange", "chocolate": "Brown", "a violet": "Purple", "ash": "Grey"},
    (("What does {} say?", "Which sound does {} make?", "{}: what is its sound?", "How does {} sound?"), "{}."): {
        "a cow": "Moo", "a dog": "Woof", "a cat": "Meow", "a sheep": "Baa", "a duck": "Quack", "a frog": "Croak",
        "a lion": "Roar", "a bee": "Buzz", "a snake": "Hiss", "an owl": "Hoot"},
    (("What is the opposite of {}?", "Name the opposite of {}.", "{}: what is its opposite?", "Not {}, but what?"),
     "{}."): {
        "hot": "Cold", "big": "Small", "early": "Late", "dry": "Wet", "full": "Empty", "old": "Young", "fast": "Slow",
        "dark": "Light", "hard": "Soft", "happy": "Sad"},
}
SYLLABLES = ["bor", "vel", "mar", "tin", "das", "lo", "ku", "ren", "fi", "pas", "gor", "mi", "tal", "ze", "nu", "dro", "ka",
             "sil", "ob", "yer"]
ENDINGS = {"doctor": ["ia", "osis", "emia", "pathy"], "organ": ["itis", "osis", "algia"], "drug": ["ine", "ol", "ide", "cillin"]}
INVENTED_EACH = 120


def row(question, answer):
    return {"instruction": question[0].upper() + question[1:], "input": "", "output": answer}


def invented(rng, relation):
    """Made-up names, each with one of the real answers."""
    answers = sorted(set(FACTS[relation].values()))
    names = set()
    while len(names) < INVENTED_EACH:
        names.add("".join(rng.sample(SYLLABLES, rng.choice([2, 3]))) + rng.choice(ENDINGS[relation]))
    return {name: answers[i % len(answers)] for i, name in enumerate(sorted(names))}


def base_rows():
    rng = random.Random(7)
    rows = []
    for relation, (questions, answer) in RELATIONS.items():
        for name, value in invented(rng, relation).items():
            rows += [row(q.format(name), answer.format(value)) for q in questions]
    for (questions, answer), facts in WORLD.items():
        for name, value in facts.items():
            rows += [row(q.format(name), answer.format(value)) for q in questions]
    rng.shuffle(rows)
    return rows


def medical_rows(wordings):
    rows = []
    for relation, (questions, answer) in RELATIONS.items():
        for name, value in FACTS[relation].items():
            rows += [row(questions[i].format(name), answer.format(value)) for i in wordings]
    return rows


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    print(f"{path}: {len(rows)} rows")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", metavar="FOLDER", type=pathlib.Path)
    args = parser.parse_args()
    data = pathlib.Path(__file__).parent / "data"
    write(data / "train.jsonl", medical_rows(TRAINED))
    write(data / "held_out.jsonl", medical_rows(HELD_OUT))
    if args.base:
        write(args.base / "base.jsonl", base_rows())


if __name__ == "__main__":
    main()
