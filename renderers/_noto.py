"""The font files of the default stack, by name, in fallback order.

Here: names only, from Debian's fonts-noto-core, fonts-noto-cjk,
fonts-hanazono and fonts-noto-color-emoji. Not here: how files are found or
opened (_installed.py, _faces.py)."""

INSTALL = (
    "apt-get install fonts-noto-core fonts-noto-cjk fonts-hanazono "
    "fonts-noto-color-emoji"
)

# The index of each region's face inside NotoSansCJK-Regular.ttc.
HAN_FACES = {"JP": 0, "KR": 1, "SC": 2, "TC": 3}
CJK_FILE = "NotoSansCJK-Regular.ttc"
# Last: it also holds digits, drawn as nothing without U+20E3 after them.
EMOJI_FILE = "NotoColorEmoji.ttf"

# Before CJK: scripts in wide use, then symbols, so that arrows and circled
# digits do not come out full width. Sans except where Noto has serif only.
_FIRST = """
    Sans SansArabic SansHebrew SansDevanagari SansBengali SansTamil SansTelugu
    SansKannada SansMalayalam SansGujarati SansGurmukhi SansOriya SansSinhala
    SansThai SansLao SansKhmer SansMyanmar SansGeorgian SansArmenian
    SansEthiopic SerifTibetan SansThaana SansSyriac SansCanadianAboriginal
    SansCherokee SansTifinagh SansAdlam SansNKo SansMeeteiMayek SansOlChiki
    SansSymbols SansMath SansSymbols2
"""
# After CJK: Mongolian, PhagsPa, TaiLe and Yi also hold CJK punctuation.
_LAST = """
    SansMongolian SansYi SansPhagsPa SansTaiLe SansNewTaiLue SansTaiTham
    SansTaiViet SansVai SansLisu SansMiao SansOsage SansBamum SansBassaVah
    SansMendeKikakui SansMedefaidrin SansOsmanya SansCoptic SansBalinese
    SansJavanese SansSundanese SansBatak SansBuginese SansRejang SansBuhid
    SansHanunoo SansTagalog SansTagbanwa SansCham SansKayahLi SansLepcha
    SansLimbu SansChakma SansSaurashtra SansSylotiNagri SansNewa
    SansHanifiRohingya SansMro SansPauCinHau SansPahawhHmong
    SerifNyiakengPuachueHmong SansSoraSompeng SansWarangCiti SansWancho
    SansMasaramGondi SansGunjalaGondi SerifYezidi SansMandaic SansSamaritan
    SansGrantha SansTamilSupplement SansTirhuta SansSharada SansTakri
    SerifDogra SerifAhom SansModi SansKaithi SansKhojki SansKhudawadi
    SansMahajani SansMultani SansSiddham SansBhaiksuki SansBrahmi
    SansKharoshthi SansMarchen SansSoyombo SansZanabazarSquare SansDeseret
    SansShavian SansDuployan SansRunic SansOgham SansGothic SansGlagolitic
    SansOldHungarian SansOldItalic SansOldPermic SansElbasan
    SansCaucasianAlbanian SansCarian SansLycian SansLydian SansCypriot
    SansLinearA SansLinearB SansPhoenician SansImperialAramaic SansNabataean
    SansPalmyrene SansHatran SansElymaic SansManichaean SansAvestan
    SansInscriptionalPahlavi SansInscriptionalParthian SansPsalterPahlavi
    SansSogdian SansOldSogdian SansOldTurkic SansOldNorthArabian
    SansOldSouthArabian SansMeroitic SansUgaritic SansOldPersian
    SansCuneiform SansAnatolianHieroglyphs SansEgyptianHieroglyphs
    SansMayanNumerals SansIndicSiyaqNumbers SansNushu SerifTangut
    SansSignWriting Music
"""
# Han characters that are in no Noto font of Debian's: 60,000 of Unicode's
# extensions B to F, among them those of Vietnamese in Han script.
_RARE_HAN = "HanaMinB.ttf"


def default_files(han="SC"):
    """The default stack as `"file name#face index"`, in order."""
    faces = [HAN_FACES[han]]
    faces += [face for face in HAN_FACES.values() if face not in faces]
    return (
        [f"Noto{name}-Regular.ttf#0" for name in _FIRST.split()]
        + [f"{CJK_FILE}#{face}" for face in faces]
        + [f"Noto{name}-Regular.ttf#0" for name in _LAST.split()]
        + [f"{_RARE_HAN}#0", f"{EMOJI_FILE}#0"]
    )
