"""Words that the prompts of the simulated world are made of."""

from __future__ import annotations

NAMES = (
    *("Amara", "Bjorn", "Chen", "Dalia", "Emeka", "Farah", "Goran", "Hana", "Ivo", "Jun"),
    *("Kofi", "Leila", "Mateo", "Nadia", "Oskar", "Priya", "Rosa", "Sven", "Tariq", "Yara"),
)
GOODS = (
    *("apples", "notebooks", "tickets", "lamps", "stamps", "bricks", "candles", "chairs"),
    *("marbles", "postcards", "seedlings", "buttons", "jars of honey", "bicycle bells"),
)
CITIES = (
    *("Lagos", "Oslo", "Quito", "Hanoi", "Turin", "Perth", "Dakar", "Lyon", "Pune", "Riga"),
    *("Bogota", "Tallinn", "Kyoto", "Accra", "Porto", "Denver"),
)
OPENINGS = ("", "", "Quick question: ", "Hi! ", "Please help me. ", "For a colleague: ", "So, ")
CLOSINGS = ("", "", " Thanks.", " Keep it short.", " I need this for a report.", " Be precise.")

FACTS = (
    ("What is the capital of Norway?", "Oslo"),
    ("Which planet is closest to the sun?", "Mercury"),
    ("Who wrote the novel Pride and Prejudice?", "Jane Austen"),
    ("What gas do plants take in for photosynthesis?", "carbon dioxide"),
    ("Which metal is liquid at room temperature?", "mercury"),
    ("What is the largest ocean on Earth?", "the Pacific"),
    ("In which country is the city of Timbuktu?", "Mali"),
    ("How many legs does a spider have?", "eight"),
    ("Who painted the ceiling of the Sistine Chapel?", "Michelangelo"),
    ("What is the chemical symbol for gold?", "Au"),
    ("Which river flows through Budapest?", "the Danube"),
    ("In what year did the first people walk on the Moon?", "1969"),
    ("What do bees make out of nectar?", "honey"),
    ("Which instrument has 88 keys?", "the piano"),
    ("Name the longest bone in the human body.", "the femur"),
    ("Which language has the most native speakers?", "Mandarin"),
    ("What is the smallest prime number?", "two"),
    ("Who discovered penicillin?", "Alexander Fleming"),
    ("Which desert covers most of northern Africa?", "the Sahara"),
    ("At how many degrees Celsius does water boil at sea level?", "100"),
    ("What is the hardest natural mineral?", "diamond"),
    ("Which country gave the Statue of Liberty to the United States?", "France"),
    ("What organ pumps blood through the body?", "the heart"),
    ("On which continent do penguins live in the wild at the pole?", "Antarctica"),
    ("Who composed the Ninth Symphony with the Ode to Joy?", "Beethoven"),
    ("What is the currency of Japan?", "the yen"),
    ("How many sides has a hexagon?", "six"),
    ("Which animal is known as the ship of the desert?", "the camel"),
)
PHRASES = (
    ("good morning", "guten Morgen"),
    ("thank you very much", "vielen Dank"),
    ("where is the station", "wo ist der Bahnhof"),
    ("I would like a coffee", "ich möchte einen Kaffee"),
    ("the weather is beautiful today", "das Wetter ist heute schön"),
    ("see you tomorrow", "bis morgen"),
    ("how much does that cost", "wie viel kostet das"),
    ("my train is late", "mein Zug hat Verspätung"),
    ("happy birthday", "alles Gute zum Geburtstag"),
    ("can you help me", "können Sie mir helfen"),
    ("the bill, please", "die Rechnung, bitte"),
    ("I do not understand", "ich verstehe nicht"),
    ("we are very hungry", "wir haben großen Hunger"),
    ("the book is on the table", "das Buch liegt auf dem Tisch"),
)
ASKING = (
    'how do you say "{}" in German?',
    'translate "{}" into German for me.',
    'what would a German say for "{}"?',
    'I am writing to a friend in Berlin. What is "{}" in German?',
)
SMALL_TALK = (
    ("I just got a puppy and I am so happy!", "congratulations"),
    ("Work was exhausting today.", "get some rest"),
    ("Tell me something nice to start the week.", "you will do well"),
    ("I am a bit nervous about my driving test.", "you have practised"),
    ("Do you think it is too early for coffee?", "never too early"),
    ("My sister is visiting and I am cooking for her.", "enjoy the evening"),
    ("It has been raining here for three days.", "tea helps"),
    ("I finally finished painting the kitchen.", "well done"),
    ("What should I say to cheer up a friend who has a cold?", "get well soon"),
    ("I cannot decide between a walk and a nap.", "a short walk"),
)
# What a function has to do, how hard that is, and what a right one contains.
TASKS = (
    ("returns the sum of a list", 0.2, "sum(xs)"),
    ("reverses a string", 0.2, "s[::-1]"),
    ("counts how often each word occurs in a text", 0.25, "Counter(text.split())"),
    ("checks whether a word is a palindrome", 0.2, "s == s[::-1]"),
    ("removes duplicates from a list but keeps its order", 0.3, "dict.fromkeys(xs)"),
    ("parses dates like 3/7/2024 and returns the weekday", 0.4, "strptime"),
    ("retries a call three times with growing pauses", 0.5, "2 ** attempt"),
    ("merges overlapping intervals and proves the running time", 0.7, "sorted(intervals)"),
    ("finds the longest increasing subsequence in O(n log n)", 0.75, "bisect_left"),
    ("finds the strongly connected components of a directed graph", 0.8, "lowlink"),
    ("implements a thread-safe LRU cache without OrderedDict", 0.85, "threading.Lock"),
    ("matches regular expressions with star and dot by dynamic programming", 0.85, "table[i][j]"),
)
CODING = (
    "Write a Python function {} that {}.",
    "I need a function called {} in Python; it {}.",
    "Show me idiomatic Python: def {}, which {}. Add type hints.",
)
# What happens to a number of things: wording, and how many there are then.
GAINS = (
    "Then {who} brings {n} more.",
    "A parcel with another {n} arrives.",
    "{who} finds {n} in the cellar and adds them.",
)
FACTORS = (
    "A machine then turns each of them into {n}.",
    "Every one of them is exchanged for {n} new ones.",
    "The next morning there are {n} times as many.",
)
LOSSES = (
    "After that {n} are sold.",
    "{who} takes away {n} for a school fair.",
    "Sadly, {n} of them break.",
)
NOTES = (
    "{name} from {city} ordered {count} {goods} on Tuesday.",
    "On Tuesday we shipped {count} {goods} to {name}, who lives in {city}.",
    "Call from {city}: {name} wants {count} {goods}, delivered before Tuesday.",
)
ORDERS = (
    ("{a} stands directly left of {b}.", "Who stands at the right end?"),
    ("{a} finished the race right before {b}.", "Who finished last?"),
    ("{a} is a year younger than {b}.", "Who is the oldest?"),
)
PLANS = (
    (
        "Plan the cheapest round trip through {all}, starting in {first}, given that every leg "
        "costs more on weekends; justify each choice and name the last stop."
    ),
    (
        "A band tours {all} and opens in {first}. Work out a schedule with a day of rest between "
        "two concerts, weigh travel time against rent, and say where the tour ends."
    ),
    (
        "We are moving our warehouse out of {first} and choose among {all}. Compare the trade-offs "
        "of wages, distance and customs step by step and recommend one city."
    ),
)
