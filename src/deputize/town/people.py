"""The believable side of the town: its products and its people, each a pure function of the seed."""

from dataclasses import dataclass
from random import Random

CURRENCY = "EUR"
# Replacements and returns never use up what is in stock: outcomes must not depend on who came first.
PLENTY = 1_000_000

# Product and price in cents.
GOODS = (
    ("Enamel mug", 1290),
    ("Linen tea towel", 1450),
    ("Beeswax candles, set of six", 1890),
    ("Wool socks", 1990),
    ("Notebook, dotted", 1250),
    ("Olive oil soap, three bars", 1675),
    ("Cast-iron trivet", 2400),
    ("Bamboo cutlery roll", 2195),
    ("Camping lantern", 3900),
    ("Thermos flask, 1 l", 3450),
    ("Cotton apron", 3200),
    ("Ceramic teapot", 5400),
    ("Chopping board, oak", 4650),
    ("Wall clock", 5900),
    ("Picnic blanket", 4900),
    ("Rain jacket for children", 5250),
    ("Bicycle pannier", 8900),
    ("Chef's knife, 20 cm", 9800),
    ("Merino sweater", 11900),
    ("Desk lamp", 12400),
    ("Hiking poles, carbon", 13900),
    ("Cast-iron pot, 5 l", 16900),
    ("Duvet, four seasons", 18900),
    ("Backpack, 40 l", 17450),
    ("Espresso grinder", 34900),
    ("Tent for two", 38900),
    ("Office chair", 44900),
    ("Sewing machine", 52900),
    ("Folding bicycle", 68900),
    ("Robot vacuum cleaner", 56900),
    ("Espresso machine", 79900),
    ("Turntable", 63500),
    ("Oak dining table", 114900),
    ("Electric cargo trailer", 129900),
    ("Sofa, three seats", 149000),
    ("Canoe", 184500),
)
CHEAP_MINOR = 20_000  # below: small goods, some of them sold out; the rest are always in stock
SOLD_OUT = 6

FIRST = (
    *("Anna", "Ben", "Clara", "David", "Elif", "Femke", "Giulia", "Hugo", "Ines", "Jonas", "Katarzyna"),
    *("Luca", "Maria", "Niels", "Oscar", "Petra", "Quentin", "Rosa", "Sven", "Tomas", "Ursula", "Victor"),
    *("Wanda", "Yara", "Zoe", "Aisha", "Bruno", "Chiara", "Dirk", "Emma"),
)
# By country: last names, street, towns.
PLACES = {
    "DE": ("Müller Schmidt Fischer Weber Becker Hoffmann Kaya Nowak", "Hauptstraße", "Leipzig Hamburg Köln"),
    "FR": ("Martin Bernard Dubois Moreau Laurent Garcia Roux Haddad", "rue de la Gare", "Lyon Nantes Lille"),
    "NL": ("de Vries,Jansen,Bakker,Visser,Smit,Mulder,van Dijk,Yilmaz", "Dorpsstraat", "Utrecht Breda"),
    "IT": ("Rossi Russo Ferrari Esposito Bianchi Romano Conti Greco", "via Roma", "Torino Bologna Bari"),
    "ES": ("García López Sánchez Martín Gómez Ruiz Navarro Torres", "calle Mayor", "Valencia Bilbao"),
    "AT": ("Gruber Huber Wagner Pichler Steiner Moser Mayer Hofer", "Bahnhofstraße", "Graz Linz Wien"),
    "BE": ("Peeters Janssens Maes Jacobs Mertens Claes Goossens Dupont", "Kerkstraat", "Gent Namur"),
    "PL": ("Kowalski Wójcik Kamiński Lewandowski Zieliński Mazur Król", "ulica Polna", "Kraków Gdańsk"),
}
COUNTRIES = tuple(PLACES)
PLAIN = str.maketrans("äöüßéèáíóúñńłąęśźż ", "aousee" + "aiounnlaeszz-")


@dataclass(frozen=True)
class Good:
    """A product; `price_minor` in cents."""

    sku: str
    name: str
    price_minor: int
    stock: int


@dataclass(frozen=True)
class Person:
    """A customer; `since_s` in seconds since 1970."""

    id: str
    name: str
    email: str
    address: str
    country: str
    since_s: float


def goods(seed: int) -> list[Good]:
    """All products; six of the small ones are sold out."""
    small = [name for name, price in GOODS if price < CHEAP_MINOR]
    gone = set(Random(f"{seed}:sold-out").sample(small, SOLD_OUT))
    return [
        Good(f"sku-{no:03}", name, price, 0 if name in gone else PLENTY)
        for no, (name, price) in enumerate(GOODS, start=1)
    ]


def person(seed: int, person_id: str, since_s: float) -> Person:
    """The customer with this id; the same seed and id give the same one."""
    rng = Random(f"{seed}:{person_id}")
    country = rng.choice(COUNTRIES)
    names, street, towns = PLACES[country]
    first = rng.choice(FIRST)
    last = rng.choice(names.split("," if "," in names else None))
    address = f"{street} {rng.randint(1, 180)}, {rng.choice(towns.split())}"
    mailbox = f"{first}.{last}".lower().translate(PLAIN)
    # The id makes the address unique; the domain is reserved for examples.
    email = f"{mailbox}.{person_id.removeprefix('c-')}@{country.lower()}.example.com"
    return Person(person_id, f"{first} {last}", email, address, country, since_s)
