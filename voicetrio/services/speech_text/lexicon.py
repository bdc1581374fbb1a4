"""Tables of written English: abbreviations, units, currencies, symbols, names of letters."""

from __future__ import annotations

from typing import Final

__all__ = [
    "ABBREVIATIONS",
    "CURRENCIES",
    "CURRENCY_CODES",
    "DOTTED",
    "FILE_ENDINGS",
    "FRACTIONS",
    "LETTERS",
    "MONTHS",
    "MONTH_NAMES",
    "NUMBERED",
    "PRONUNCIATIONS",
    "SCALES",
    "SCALE_LETTERS",
    "SYMBOLS",
    "TOP_LEVEL_DOMAINS",
    "UNITS",
    "UNITS_OF_ONE_CASE",
    "URL_SYMBOLS",
    "WEEKDAYS",
]

ABBREVIATIONS: Final = {
    "mr": "mister", "mrs": "missis", "ms": "miz", "dr": "doctor", "prof": "professor", "jr": "junior",
    "sr": "senior", "rev": "reverend", "hon": "honorable", "gen": "general", "col": "colonel",
    "capt": "captain", "lt": "lieutenant", "sgt": "sergeant", "gov": "governor", "sen": "senator",
    "vs": "versus", "etc": "et cetera", "approx": "approximately", "e.g": "for example", "i.e": "that is",
    "dept": "department", "est": "established", "govt": "government", "inc": "incorporated",
    "ltd": "limited", "corp": "corporation", "co": "company", "ave": "avenue", "blvd": "boulevard",
    "rd": "road", "apt": "apartment", "tel": "telephone", "ext": "extension", "min": "minutes",
    "max": "maximum", "misc": "miscellaneous", "incl": "including", "mt": "mount",
    "w/": "with", "w/o": "without", "b/c": "because",
    "a.k.a": "also known as", "aka": "also known as",
}  # fmt: skip
"""By the core in lower case.  Those of NEEDS_STOP count only with a full stop behind them."""

NEEDS_STOP: Final = frozenset("hon gen col gov sen est inc co ave rd ext min max rev capt lt mt".split())
"""Abbreviations that are words of their own, or names, without their full stop."""

MONTHS: Final = {
    "jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6, "jul": 7, "aug": 8, "sep": 9, "sept": 9,
    "oct": 10, "nov": 11, "dec": 12, "january": 1, "february": 2, "march": 3, "april": 4, "june": 6,
    "july": 7, "august": 8, "september": 9, "october": 10, "november": 11, "december": 12,
}  # fmt: skip
MONTH_NAMES: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
WEEKDAYS: Final = {
    "mon": "Monday", "tue": "Tuesday", "tues": "Tuesday", "wed": "Wednesday", "thu": "Thursday",
    "thur": "Thursday", "thurs": "Thursday", "fri": "Friday", "sat": "Saturday", "sun": "Sunday",
}  # fmt: skip

DOTTED: Final = (
    ABBREVIATIONS.keys()
    | MONTHS.keys()
    | WEEKDAYS.keys()
    | {"st", "ft", "no", "nos", "fig", "vol", "p", "pp", "a.m", "p.m"}
)
"""After these a full stop does not end a sentence, unless it is the last."""

SYMBOLS: Final = {
    "&": "and", "+": "plus", "=": "equals", "%": "percent", "@": "at", "#": "hash", "~": "about",
    "<": "less than",
    ">": "greater than", "°": "degrees", "§": "section", "©": "copyright", "®": "registered",
    "™": "trademark",
    "×": "times", "÷": "divided by", "±": "plus or minus", "≈": "about",
    "≤": "at most", "≥": "at least", "≠": "is not", "→": "to", "µ": "micro", "√": "square root of",
    "∞": "infinity",
}  # fmt: skip

URL_SYMBOLS: Final = {
    ".": "dot", "/": "slash", "-": "dash", "_": "underscore", ":": "colon", "?": "question mark",
    "=": "equals",
    "&": "and", "#": "hash", "%": "percent", "~": "tilde", "@": "at", "+": "plus", "\\": "backslash",
}  # fmt: skip

TOP_LEVEL_DOMAINS: Final = frozenset(
    "com org net edu gov mil int io ai dev app info biz tv co uk de fr es it nl ch at be se no dk fi pl eu "
    "us ca au nz jp in br me ly gg xyz tech online site store blog cloud".split()
)
FILE_ENDINGS: Final = frozenset(
    "txt py js ts html htm css pdf csv json md png jpg jpeg gif svg mp3 wav ogg opus flac aac mp4 exe zip "
    "tar gz xml yml yaml toml ini cfg doc docx xls xlsx ppt pptx sh c h cpp rs go java log sql".split()
)

CURRENCIES: Final = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "¥": ("yen", "yen", "sen", "sen"),
    "₹": ("rupee", "rupees", "paisa", "paise"),
}
CURRENCY_CODES: Final = {
    "usd": "US dollars", "eur": "euros", "gbp": "pounds", "jpy": "yen", "chf": "Swiss francs",
    "cad": "Canadian dollars", "aud": "Australian dollars", "inr": "rupees", "cny": "yuan",
}  # fmt: skip
SCALES: Final = frozenset({"hundred", "thousand", "million", "billion", "trillion"})
SCALE_LETTERS: Final = {
    "k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion", "t": "trillion",
    "tn": "trillion",
}  # fmt: skip

UNITS: Final = {
    "km": ("kilometer", "kilometers"), "m": ("meter", "meters"), "cm": ("centimeter", "centimeters"),
    "mm": ("millimeter", "millimeters"), "mi": ("mile", "miles"), "ft": ("foot", "feet"),
    "in": ("inch", "inches"), "yd": ("yard", "yards"), "kg": ("kilogram", "kilograms"),
    "g": ("gram", "grams"),
    "mg": ("milligram", "milligrams"), "lb": ("pound", "pounds"), "lbs": ("pound", "pounds"),
    "oz": ("ounce", "ounces"), "l": ("liter", "liters"), "ml": ("milliliter", "milliliters"),
    "gal": ("gallon", "gallons"), "mph": ("mile per hour", "miles per hour"),
    "kph": ("kilometer per hour", "kilometers per hour"),
    "km/h": ("kilometer per hour", "kilometers per hour"),
    "m/s": ("meter per second", "meters per second"), "hz": ("hertz", "hertz"),
    "khz": ("kilohertz", "kilohertz"), "mhz": ("megahertz", "megahertz"), "ghz": ("gigahertz", "gigahertz"),
    "kb": ("kilobyte", "kilobytes"), "mb": ("megabyte", "megabytes"), "gb": ("gigabyte", "gigabytes"),
    "tb": ("terabyte", "terabytes"), "kib": ("kibibyte", "kibibytes"), "mib": ("mebibyte", "mebibytes"),
    "gib": ("gibibyte", "gibibytes"), "kbps": ("kilobit per second", "kilobits per second"),
    "mbps": ("megabit per second", "megabits per second"),
    "gbps": ("gigabit per second", "gigabits per second"),
    "w": ("watt", "watts"), "kw": ("kilowatt", "kilowatts"), "mw": ("megawatt", "megawatts"),
    "kwh": ("kilowatt hour", "kilowatt hours"), "v": ("volt", "volts"),
    "ma": ("milliampere", "milliamperes"),
    "mah": ("milliampere hour", "milliampere hours"), "db": ("decibel", "decibels"),
    "°c": ("degree Celsius", "degrees Celsius"), "°f": ("degree Fahrenheit", "degrees Fahrenheit"),
    "°": ("degree", "degrees"), "ms": ("millisecond", "milliseconds"), "s": ("second", "seconds"),
    "sec": ("second", "seconds"), "secs": ("second", "seconds"), "min": ("minute", "minutes"),
    "mins": ("minute", "minutes"), "h": ("hour", "hours"), "hr": ("hour", "hours"),
    "hrs": ("hour", "hours"),
    "px": ("pixel", "pixels"), "rpm": ("revolution per minute", "revolutions per minute"),
    "fps": ("frame per second", "frames per second"), "sq": ("square", "square"),
    "m²": ("square meter", "square meters"), "km²": ("square kilometer", "square kilometers"),
    "m³": ("cubic meter", "cubic meters"), "ft²": ("square foot", "square feet"),
}  # fmt: skip
"""A unit in lower case: its singular and its plural."""
UNITS_OF_ONE_CASE: Final = frozenset({"in", "s", "h", "m", "g", "ma"})
"""Taken for units only when they are written as here: 5 G and 5 M are something else."""

FRACTIONS: Final = {
    "½": ("one half", "and a half"), "¼": ("one quarter", "and a quarter"),
    "¾": ("three quarters", "and three quarters"),
    "⅓": ("one third", "and a third"), "⅔": ("two thirds", "and two thirds"),
    "⅛": ("one eighth", "and an eighth"),
}  # fmt: skip

NUMBERED: Final = frozenset(
    "chapter part volume section act scene book phase type war appendix level article title bowl".split()
)
"""Words before a Roman numeral that counts."""

LETTERS: Final = {"a": "ay"}
"""How a letter is written so that its name is said; any other is its own name."""

PRONUNCIATIONS: Final = {
    "voicetrio": "voice tree oh", "wifi": "why fie", "wi-fi": "why fie", "c++": "see plus plus",
    "c#": "see sharp",
    "f#": "eff sharp", ".net": "dot net", "24/7": "twenty four seven", "9/11": "nine eleven", "ok": "okay",
    "&c": "et cetera", "sql": "sequel", "github": "git hub", "json": "jay son",
}  # fmt: skip
"""Words that the letters do not tell."""
