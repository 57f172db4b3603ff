"""Script -> the Noto file that holds it, and the package to install.

Here: advice for texts that a stack does not cover; from Debian 12's
fonts-noto-core 20201225 and fonts-noto-cjk 20220127. Not here: the order of
fonts (_noto.py)."""

from pixmodels.renderers._libraries import load

_CJK = frozenset(("Bopo", "Hang", "Hani", "Hira", "Kana"))
_FILES = """
    Adlm:Adlam Aghb:CaucasianAlbanian Arab:Arabic
    Armi:ImperialAramaic Armn:Armenian Avst:Avestan Bali:Balinese Bamu:Bamum
    Bass:BassaVah Batk:Batak Beng:Bengali Bhks:Bhaiksuki Brah:Brahmi
    Brai:Symbols2 Bugi:Buginese Buhd:Buhid Cakm:Chakma Cans:CanadianAboriginal
    Cari:Carian Cham:Cham Cher:Cherokee Copt:Coptic Cprt:Cypriot Cyrl:
    Deva:Devanagari Dsrt:Deseret Dupl:Duployan
    Egyp:EgyptianHieroglyphs Elba:Elbasan Elym:Elymaic Ethi:Ethiopic
    Geor:Georgian Glag:Glagolitic Gong:GunjalaGondi Gonm:MasaramGondi
    Goth:Gothic Gran:Grantha Grek: Gujr:Gujarati Guru:Gurmukhi Hano:Hanunoo
    Hatr:Hatran Hebr:Hebrew Hluw:AnatolianHieroglyphs Hmng:PahawhHmong
    Hung:OldHungarian Ital:OldItalic Java:Javanese Kali:KayahLi
    Khar:Kharoshthi Khmr:Khmer Khoj:Khojki Knda:Kannada Kthi:Kaithi
    Lana:TaiTham Laoo:Lao Latn: Lepc:Lepcha Limb:Limbu Lina:LinearA
    Linb:LinearB Lisu:Lisu Lyci:Lycian Lydi:Lydian Mahj:Mahajani Mand:Mandaic
    Mani:Manichaean Marc:Marchen Medf:Medefaidrin Mend:MendeKikakui
    Merc:Meroitic Mero:Meroitic Mlym:Malayalam Modi:Modi Mong:Mongolian
    Mroo:Mro Mtei:MeeteiMayek Mult:Multani Mymr:Myanmar Narb:OldNorthArabian
    Nbat:Nabataean Newa:Newa Nkoo:NKo Nshu:Nushu Ogam:Ogham Olck:OlChiki
    Orkh:OldTurkic Orya:Oriya Osge:Osage Osma:Osmanya Palm:Palmyrene
    Pauc:PauCinHau Perm:OldPermic Phag:PhagsPa Phli:InscriptionalPahlavi
    Phlp:PsalterPahlavi Phnx:Phoenician Plrd:Miao Prti:InscriptionalParthian
    Rjng:Rejang Rohg:HanifiRohingya Runr:Runic Samr:Samaritan
    Sarb:OldSouthArabian Saur:Saurashtra Sgnw:SignWriting Shaw:Shavian
    Shrd:Sharada Sidd:Siddham Sind:Khudawadi Sinh:Sinhala Sogd:Sogdian
    Sogo:OldSogdian Sora:SoraSompeng Soyo:Soyombo Sund:Sundanese
    Sylo:SylotiNagri Syrc:Syriac Tagb:Tagbanwa Takr:Takri Tale:TaiLe
    Talu:NewTaiLue Taml:Tamil Tavt:TaiViet Telu:Telugu
    Tfng:Tifinagh Tglg:Tagalog Thaa:Thaana Thai:Thai Tirh:Tirhuta
    Ugar:Ugaritic Vaii:Vai Wara:WarangCiti Wcho:Wancho Xpeo:OldPersian
    Xsux:Cuneiform Yiii:Yi Zanb:ZanabazarSquare
"""
# Where Noto has a serif face only.
_SERIF = {
    "Ahom": "Ahom",
    "Dogr": "Dogra",
    "Hmnp": "NyiakengPuachueHmong",
    "Tang": "Tangut",
    "Tibt": "Tibetan",
    "Yezi": "Yezidi",
}
_SHOWN = 8
# Symbols belong to no script; each of these holds some.
_SYMBOLS = (
    "NotoSansSymbols-Regular.ttf, NotoSansSymbols2-Regular.ttf or "
    "NotoSansMath-Regular.ttf"
)


def source(code):
    """(Debian package, font file) of an ISO 15924 code, or None."""
    if code in _CJK:
        return "fonts-noto-cjk", "NotoSansCJK-Regular.ttc"
    if code in _SERIF:
        return "fonts-noto-core", f"NotoSerif{_SERIF[code]}-Regular.ttf"
    for entry in _FILES.split():
        known, _, name = entry.partition(":")
        if known == code:
            return "fonts-noto-core", f"NotoSans{name}-Regular.ttf"
    return None


def advice(code, characters, emoji):
    """One script of an error message: name, characters, what to install.

    Args:
        code: ISO 15924.
        characters: those that no font covers.
        emoji: whether some of them are emoji.
    """
    name = load("fontTools.unicodedata").script_name(code, default=code)
    shown = ", ".join(f"U+{ord(c):04X}" for c in characters[:_SHOWN])
    if len(characters) > _SHOWN:
        shown += f" and {len(characters) - _SHOWN} more"
    found = source(code)
    if emoji:
        line = "apt-get install fonts-noto-color-emoji (NotoColorEmoji.ttf)"
    elif found is not None:
        line = f"apt-get install {found[0]} ({found[1]})"
        if code == "Hani":
            line += "; for rare characters fonts-hanazono (HanaMinB.ttf)"
    elif code in ("Zyyy", "Zinh"):
        line = f"apt-get install fonts-noto-core ({_SYMBOLS})"
    else:
        line = "Debian 12 has no Noto font for it: add a file of your own"
    return f"{name.replace('_', ' ')} ({shown}): {line}"
