"""The catalogue of the demonstration shop: 1,000 products, the same on every machine."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

PRODUCT_COUNT: Final = 1_000
CURRENCY: Final = "EUR"
_STOCK: Final = range(50, 501)
_STOCK_STRIDE: Final = 37


@dataclass(frozen=True, slots=True)
class SeedProduct:
    """One product as the seeds create it."""

    sku: str
    name: str
    description: str
    category: str
    price_cents: int
    stock: int
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a product is: its name, its price in cents and what to say about it."""

    name: str
    cents: int
    text: str


@dataclass(frozen=True, slots=True)
class _Variant:
    """In what form a product comes, and its price in per cent of the kind's."""

    name: str
    per_cent: int = 100


@dataclass(frozen=True, slots=True)
class _Category:
    slug: str
    prefix: str
    variants: tuple[_Variant, ...]
    kinds: tuple[_Kind, ...]


def products() -> Sequence[SeedProduct]:
    """Return all products of the catalogue, the categories taking turns."""
    in_turns = chain.from_iterable(zip(*map(_products_of, _CATEGORIES), strict=True))
    return list(islice(in_turns, PRODUCT_COUNT))


def _products_of(category: _Category) -> Iterator[SeedProduct]:
    pairs = ((kind, variant) for variant in category.variants for kind in category.kinds)
    for number, (kind, variant) in enumerate(pairs, start=1):
        yield SeedProduct(
            sku=f"{category.prefix}-{number:04}",
            name=f"{kind.name}, {variant.name}",
            description=f"{kind.text} Version: {variant.name.lower()}.",
            category=category.slug,
            price_cents=_just_below(kind.cents * variant.per_cent // 100),
            stock=_STOCK[number * _STOCK_STRIDE % len(_STOCK)],
            tags=(category.slug, _slug(kind.name), _slug(variant.name)),
        )


def _just_below(cents: int) -> int:
    """Round a price as shops do: 12.37 becomes 12.39."""
    return cents // 10 * 10 + 9


def _slug(name: str) -> str:
    return name.lower().replace(",", "").replace("'", "").replace(" ", "-")


def _colours(*names: str) -> tuple[_Variant, ...]:
    return tuple(_Variant(name) for name in names)


_CATEGORIES: Final = (
    _Category(
        "kitchen",
        "KIT",
        _colours(
            "Sage Green",
            "Charcoal",
            "Cream",
            "Terracotta",
            "Ocean Blue",
            "Mustard Yellow",
            "Brushed Steel",
        ),
        (
            _Kind("Mixing Bowl Set", 3490, "Three nesting bowls with pouring lips and lids."),
            _Kind("Cast Iron Casserole", 11900, "Holds 4.2 litres; for hob, oven and table."),
            _Kind("Frying Pan 28 cm", 4950, "Even heat and a handle that stays cool."),
            _Kind("Salad Spinner", 2490, "Dries a whole head of lettuce with a few pulls."),
            _Kind("Measuring Jug", 1290, "One litre, marked in millilitres and cups."),
            _Kind("Tea Kettle", 4490, "Whistles when the water boils; 1.7 litres."),
            _Kind("Bread Bin", 5490, "Keeps two loaves fresh; the lid is a cutting board."),
            _Kind("Storage Jar", 990, "Airtight, 900 millilitres, stackable."),
            _Kind("Colander", 1990, "Stands firmly in the sink and drains quickly."),
            _Kind("Utensil Holder", 1790, "Heavy enough not to tip over beside the stove."),
            _Kind("Pepper Mill", 2990, "Ceramic grinder with six settings."),
            _Kind("Kitchen Scale", 2790, "Weighs up to five kilograms in steps of one gram."),
        ),
    ),
    _Category(
        "tableware",
        "TAB",
        _colours("White", "Speckled Grey", "Midnight Blue", "Sand", "Celadon", "Rose", "Black Rim"),
        (
            _Kind("Dinner Plate", 1490, "Stoneware, 27 cm, safe in the dishwasher."),
            _Kind("Dessert Plate", 1190, "Stoneware, 21 cm, safe in the dishwasher."),
            _Kind("Pasta Bowl", 1590, "Wide and shallow, with room for a sauce."),
            _Kind("Cereal Bowl", 1290, "Deep enough for half a litre of soup."),
            _Kind("Coffee Mug", 1190, "Holds 350 millilitres and keeps them warm."),
            _Kind("Espresso Cup", 890, "Thick-walled, 80 millilitres, with a saucer."),
            _Kind("Teapot", 3990, "Holds 1.2 litres, with a strainer of steel."),
            _Kind("Serving Platter", 3490, "Oval, 36 cm long, for a roast or a cake."),
            _Kind("Salad Bowl", 2990, "Serves six; 28 cm across."),
            _Kind("Gravy Boat", 1990, "Pours without dripping."),
            _Kind("Butter Dish", 1890, "With a lid that doubles as a tray."),
            _Kind("Egg Cup", 590, "Wide foot, fits every size of egg."),
        ),
    ),
    _Category(
        "textiles",
        "TEX",
        _colours("Linen White", "Oat", "Slate", "Forest", "Rust", "Navy Stripe", "Dusty Pink"),
        (
            _Kind("Duvet Cover", 6990, "Washed cotton, 140 by 200 cm, with a zip."),
            _Kind("Pillowcase", 1990, "Washed cotton, 80 by 80 cm."),
            _Kind("Fitted Sheet", 3490, "Jersey with elastic all round, 90 by 200 cm."),
            _Kind("Bath Towel", 2490, "Heavy terry cotton, 70 by 140 cm."),
            _Kind("Hand Towel", 1290, "Heavy terry cotton, 50 by 100 cm."),
            _Kind("Bath Mat", 2290, "Thick pile that dries overnight."),
            _Kind("Cushion Cover", 1790, "Linen blend, 45 by 45 cm."),
            _Kind("Wool Blanket", 8990, "Woven of recycled wool, 130 by 180 cm."),
            _Kind("Table Runner", 1990, "Linen blend, 40 by 150 cm."),
            _Kind("Tea Towel Pair", 1490, "Half linen, dries glasses without lint."),
            _Kind("Curtain", 4990, "Dims the light; 140 by 250 cm."),
            _Kind("Kitchen Apron", 2690, "Adjustable straps and two pockets."),
        ),
    ),
    _Category(
        "lighting",
        "LIG",
        _colours("Brass", "Matte Black", "White", "Copper", "Smoked Glass", "Oak", "Chrome"),
        (
            _Kind("Pendant Lamp", 7990, "Hangs on two metres of textile cable."),
            _Kind("Table Lamp", 5990, "Warm light, dimmable in three steps."),
            _Kind("Floor Lamp", 12900, "Reads over your shoulder; the head turns and tilts."),
            _Kind("Wall Light", 4990, "Lights up and down along the wall."),
            _Kind("Desk Lamp", 6490, "Jointed arm and a base that charges a phone."),
            _Kind("Ceiling Light", 8490, "Flat and bright, for hall and bath."),
            _Kind("Clip-On Spotlight", 2990, "Holds to shelf or headboard."),
            _Kind("Bedside Lamp", 3990, "Touch switch, no harsh light at night."),
            _Kind("Picture Light", 5490, "Even light over the whole frame."),
            _Kind("Cabinet Light", 2490, "Turns on when the door opens."),
            _Kind("Garden Lantern", 4490, "Weatherproof; switches itself on at dusk."),
            _Kind("Candle Holder", 1990, "For pillar candles up to 8 cm across."),
        ),
    ),
    _Category(
        "stationery",
        "STA",
        _colours("Red", "Navy", "Black", "Kraft", "Mint", "Coral", "Grey"),
        (
            _Kind("Notebook A5 Dotted", 1490, "192 numbered pages that lie flat."),
            _Kind("Notebook A4 Lined", 1890, "160 pages of 100 gram paper."),
            _Kind("Weekly Planner", 2190, "A week on two pages, undated."),
            _Kind("Fountain Pen", 2990, "Steel nib, medium, with a converter."),
            _Kind("Ballpoint Pen", 790, "Writes on at once, takes standard refills."),
            _Kind("Pencil Case", 1690, "Room for twenty pens and a ruler."),
            _Kind("Letter Tray", 2290, "Stackable, for paper up to A4."),
            _Kind("Ring Binder", 690, "A4, two rings, 40 mm."),
            _Kind("Desk Pad", 3490, "Wipes clean; 80 by 40 cm."),
            _Kind("Envelope Pack", 890, "25 envelopes for A6 cards."),
            _Kind("Paper Clip Box", 590, "100 clips behind a magnet."),
            _Kind("Document Folder", 1290, "Twelve pockets with an elastic band."),
        ),
    ),
    _Category(
        "garden",
        "GAR",
        (
            _Variant("Small, Green", 70),
            _Variant("Small, Anthracite", 70),
            _Variant("Medium, Green"),
            _Variant("Medium, Anthracite"),
            _Variant("Large, Green", 145),
            _Variant("Large, Anthracite", 145),
            _Variant("Extra Large, Anthracite", 190),
        ),
        (
            _Kind("Plant Pot", 1290, "Frost-proof, with a hole for water to drain."),
            _Kind("Raised Bed", 7990, "Larch wood; put together without tools."),
            _Kind("Watering Can", 2290, "Balanced, with a rose that comes off."),
            _Kind("Plant Stand", 3490, "Three steps of powder-coated steel."),
            _Kind("Wall Planter", 1990, "Hangs from two screws."),
            _Kind("Rain Barrel", 8990, "With a tap and a lid that locks."),
            _Kind("Bird Feeder", 2490, "Keeps seeds dry and squirrels out."),
            _Kind("Seed Propagator", 1890, "Clear lid with vents, 24 cells."),
            _Kind("Cold Frame", 6990, "Gives young plants four weeks' head start."),
            _Kind("Climbing Obelisk", 3990, "Carries sweet peas and runner beans."),
            _Kind("Cushion Box", 9990, "Stays dry inside through the winter."),
            _Kind("Garden Trug", 2690, "Light, flexible and hard to break."),
        ),
    ),
    _Category(
        "toys",
        "TOY",
        _colours(
            "Forest Animals",
            "Ocean Animals",
            "Farm Animals",
            "Dinosaurs",
            "Outer Space",
            "Vehicles",
            "Fairy Tale",
        ),
        (
            _Kind("Jigsaw Puzzle", 1490, "100 pieces of thick card, from five years."),
            _Kind("Memory Game", 1290, "24 pairs of wooden tiles, from three years."),
            _Kind("Stacking Tower", 1890, "Nine cups that nest and stack, from one year."),
            _Kind("Building Blocks", 2990, "50 blocks of beech in a cotton bag."),
            _Kind("Pull-Along Toy", 2290, "Rubber tyres that are kind to the floor."),
            _Kind("Bath Toys", 1590, "Five floating figures without holes."),
            _Kind("Shape Sorter", 2490, "Twelve shapes and a lid that little hands can open."),
            _Kind("Domino Set", 1390, "28 picture tiles in a box with a sliding lid."),
            _Kind("Sticker Book", 890, "400 stickers that come off again."),
            _Kind("Play Mat", 4990, "Soft and washable, 120 by 160 cm."),
            _Kind("Night Light", 2690, "Goes out by itself after half an hour."),
            _Kind("Growth Chart", 1790, "Canvas, marks from 60 to 160 cm."),
        ),
    ),
    _Category(
        "sport",
        "SPO",
        _colours("Black", "Petrol", "Lime", "Coral", "Purple", "Grey", "Two-Tone"),
        (
            _Kind("Yoga Mat", 3490, "Natural rubber, 4 mm, does not slip."),
            _Kind("Resistance Bands", 1990, "Five strengths with a bag."),
            _Kind("Foam Roller", 2490, "Firm core, grooved surface, 33 cm."),
            _Kind("Skipping Rope", 1290, "Ball bearings and a cable to cut to length."),
            _Kind("Water Bottle", 1890, "Insulated steel, 750 millilitres, does not leak."),
            _Kind("Gym Towel", 1490, "Dries fast and folds small."),
            _Kind("Massage Ball Set", 1690, "Three balls of different hardness."),
            _Kind("Swim Goggles", 1990, "Clear lenses that do not fog."),
            _Kind("Running Belt", 2290, "Holds phone and keys without bouncing."),
            _Kind("Bicycle Bell", 1190, "Clear tone, fits every handlebar."),
            _Kind("Climbing Chalk Bag", 2190, "With a belt and a brush loop."),
            _Kind("Table Tennis Set", 2990, "Two bats, three balls and a net that clamps on."),
        ),
    ),
    _Category(
        "electronics",
        "ELE",
        _colours("Black", "White", "Silver", "Midnight", "Sand", "Teal", "Graphite"),
        (
            _Kind("Bluetooth Speaker", 7990, "Twelve hours of music, proof against rain."),
            _Kind("Over-Ear Headphones", 14900, "Cancels noise; 30 hours on one charge."),
            _Kind("Wireless Earbuds", 8990, "Three sizes of tips and a case that charges."),
            _Kind("Power Bank", 3990, "10,000 mAh, charges two devices at once."),
            _Kind("Wireless Charger", 2990, "15 watts, with a magnet that centres the phone."),
            _Kind("USB-C Hub", 4990, "HDMI, card reader and three ports."),
            _Kind("Compact Keyboard", 6990, "Quiet keys, pairs with three devices."),
            _Kind("Ergonomic Mouse", 4490, "Fits the hand; six buttons."),
            _Kind("Webcam", 5990, "Full HD, with a shutter for privacy."),
            _Kind("Desk Fan", 3490, "Three speeds, hardly to be heard on the first."),
            _Kind("Alarm Clock", 2790, "Projects nothing, ticks not, wakes gently."),
            _Kind("Phone Stand", 1990, "Folds flat and holds tablets too."),
        ),
    ),
    _Category(
        "bags",
        "BAG",
        _colours("Olive", "Black", "Tan", "Navy", "Burgundy", "Stone", "Ochre"),
        (
            _Kind("Daypack 20 l", 6990, "Padded back and a sleeve for a 14-inch laptop."),
            _Kind("Roll-Top Backpack", 8990, "Waterproof, grows from 18 to 25 litres."),
            _Kind("Canvas Tote", 2490, "Long handles and an inner pocket."),
            _Kind("Messenger Bag", 7490, "Opens with one hand, stays shut on a bicycle."),
            _Kind("Weekender", 9990, "Fits under a seat on the plane."),
            _Kind("Belt Bag", 2990, "Three pockets, also worn across the chest."),
            _Kind("Laptop Sleeve", 3490, "Felt lining, for 13 to 14 inches."),
            _Kind("Wash Bag", 2790, "Hangs from a hook; wipes clean."),
            _Kind("Shoe Bag Pair", 1490, "Keeps soles away from shirts."),
            _Kind("Packing Cube Set", 2990, "Three sizes that order a suitcase."),
            _Kind("Card Wallet", 2690, "Six cards and folded notes, shielded."),
            _Kind("Shopping Net", 990, "Carries ten kilograms, weighs fifty grams."),
        ),
    ),
    _Category(
        "tools",
        "TOO",
        (
            _Variant("Compact", 80),
            _Variant("Standard"),
            _Variant("Long Reach", 115),
            _Variant("Heavy-Duty", 135),
            _Variant("With Case", 125),
            _Variant("Twin Pack", 180),
            _Variant("Workshop Set", 260),
        ),
        (
            _Kind("Claw Hammer", 2490, "Forged head, handle of ash."),
            _Kind("Adjustable Spanner", 2190, "Jaws that do not drift."),
            _Kind("Combination Pliers", 2390, "Grips, bends and cuts."),
            _Kind("Tape Measure", 1290, "Locks itself; reads from both sides."),
            _Kind("Spirit Level", 2790, "Three vials, one edge magnetic."),
            _Kind("Hand Saw", 2290, "Hardened teeth for wood and board."),
            _Kind("Utility Knife", 1190, "Changes blades without a tool."),
            _Kind("Bar Clamp", 1890, "Closes with one hand."),
            _Kind("Work Light", 3990, "1,000 lumens, stands, hangs and sticks to steel."),
            _Kind("Staple Gun", 2690, "Takes staples from 6 to 14 mm."),
            _Kind("Caulking Gun", 1690, "Stops without dripping."),
            _Kind("Wood Chisel", 1990, "Takes an edge and keeps it."),
        ),
    ),
    _Category(
        "pantry",
        "PAN",
        (
            _Variant("250 g", 40),
            _Variant("500 g", 70),
            _Variant("1 kg", 125),
            _Variant("Organic, 250 g", 55),
            _Variant("Organic, 500 g", 95),
            _Variant("Organic, 1 kg", 170),
            _Variant("Gift Tin", 150),
        ),
        (
            _Kind("Espresso Beans", 1690, "Dark roast with notes of chocolate."),
            _Kind("Filter Coffee", 1490, "Medium roast, ground for the filter."),
            _Kind("Earl Grey Tea", 1390, "Black tea with oil of bergamot."),
            _Kind("Green Tea", 1590, "Steamed leaves, mild and fresh."),
            _Kind("Basmati Rice", 590, "Aged for a year, long and fragrant."),
            _Kind("Red Lentils", 490, "Cooked in twelve minutes."),
            _Kind("Chickpeas", 450, "For hummus, curry and salad."),
            _Kind("Rolled Oats", 390, "Whole grain, for porridge and baking."),
            _Kind("Roasted Almonds", 1290, "Roasted in small batches, unsalted."),
            _Kind("Dried Apricots", 1190, "Soft, without sulphur."),
            _Kind("Wildflower Honey", 1090, "Unheated, from one valley."),
            _Kind("Sea Salt", 690, "Coarse crystals for mill and pan."),
        ),
    ),
)
