"""Small tables that are built in, so that attacks work without a file.

Here: look-alikes, keyboard neighbours, misspellings, all written or computed
for this package. Not here: readers of larger tables (tables.py)."""

import functools
import unicodedata

# Letters of other alphabets, drawn alike in common fonts.
_HOMOGLYPHS = """
    a а ɑ α | b Ь | c с ϲ ⅽ | d ԁ ⅾ | e е ҽ | f ſ | g ɡ ց | h һ հ | i і ⅰ ı |
    j ј ϳ | k κ | l ⅼ ӏ ǀ | m ⅿ | n ո | o о ο օ | p р ρ | q ԛ գ | r г | s ѕ |
    t τ | u υ ս | v ν ѵ ⅴ | w ԝ ѡ | x х ⅹ | y у ү γ | z ᴢ |
    A А Α | B В Β | C С Ϲ Ⅽ | D Ⅾ | E Е Ε | F Ϝ | G Ԍ | H Н Η | I І Ι Ӏ Ⅰ |
    J Ј | K К Κ | L Ⅼ | M М Μ Ⅿ | N Ν | O О Ο Օ | P Р Ρ | Q Ԛ | R Ꭱ | S Ѕ Տ |
    T Т Τ | U Ս | V Ѵ Ⅴ | W Ԝ | X Х Χ Ⅹ | Y Υ Ү | Z Ζ |
    0 О Ο | 1 l І | 2 Ƨ | 3 З Ʒ | 4 Ч | 5 Ƽ | 6 б | 8 Ȣ
"""
# Blocks whose compatibility mappings to letters will not change any more.
_FORMS = (
    range(0x2100, 0x2150),  # letterlike symbols
    range(0xFF10, 0xFF5B),  # full width
    range(0x1D400, 0x1D800),  # mathematical alphanumerics
)
# Rows of a US keyboard and the offset of their first key, in key widths.
_ROWS = (
    (0.0, "1234567890-="),
    (0.5, "qwertyuiop[]"),
    (0.75, "asdfghjkl;'"),
    (1.25, "zxcvbnm,./"),
)
_REACH = 1.3

_TYPOS = """
    about abuot abot | accept except acept | accident accidant |
    across accross | address adress | again agian agin | against aganist |
    already allready | always allways alwasy | amount ammount | and adn |
    another anohter | answer anwser | apparent apparant |
    argument arguement | around arround | article artical | author auther |
    basically basicly | beautiful beautifull beutiful |
    because becuase becasue becouse | before befor | beginning begining |
    being bieng | believe beleive belive | between betwen beetween |
    business buisness bussiness | but btu | calendar calender | can cna |
    careful carefull | century centuary | certain certian |
    children childern | coming comming | committee comittee |
    could coud cuold | country contry | decide deside |
    definitely definately definitly | describe discribe |
    different diffrent diferent | difficult dificult | disappear dissapear |
    during durring | easily easely | embarrass embarass |
    enough enuff enought | environment enviroment | especially especialy |
    every evrey evry | exist exsist | experience experiance |
    family familly | finally finaly | first frist | for fro |
    foreign foriegn | forty fourty | forward foward | friend freind |
    from form fomr | general genral | get gte | government goverment |
    grammar grammer | great graet | group goup | guarantee garantee |
    happened happend | have haev hvae | height heighth hieght |
    here heer hear | history histroy | house hosue | how hwo | idea ideia |
    immediately immediatly | important importent | in ni |
    independent independant | interest intrest | interesting intresting |
    is si | it ti | its it's | just jsut | know konw | knowledge knowlege |
    language langauge languge | large larg | leave leav | letter leter |
    level levle | library libary | light ligth | like liek | listen lissen |
    little litle littel | long logn | make maek | many meny |
    million milion | minute minuite | more mroe | most msot | much muhc |
    necessary neccessary necesary | never nevr | new nwe | next nxet |
    noticeable noticable | now nwo | number nubmer |
    occasion ocasion occassion | occurred occured | of fo off |
    official offical | often offen | on no | only olny | opinion opinon |
    opportunity oppurtunity | or ro | other ohter | our oru | out uot |
    own onw | parliament parliment | people poeple peple | perhaps prehaps |
    person persen | piece peice | place palce | point piont |
    possible possable | president presedent | probably probly |
    problem probelm | quiet quite | quite quiet | really realy |
    receive recieve | recommend recomend | remember rember | right rigth |
    said siad sayed | same smae | school shcool | second secound |
    sentence sentance | separate seperate | should shoud shuold |
    similar similiar | since sinse | some som | special speical |
    state satte | still stil | strength strenght | success sucess |
    such shuch | surprise suprise | system sytem | than then | that taht |
    the teh hte | their thier there | them tehm | then than | there their |
    these theese | they thay | thing thign | think thikn | this tihs thsi |
    though tho | thought thougth | through thru throught | time tiem |
    to too | together togather | tomorrow tommorow tomorow | too to |
    took tok | truly truely | two tow | under udner | until untill | up pu |
    upon apon | usually usualy | very verry | view veiw | want wnat |
    was wsa | way whey | weather wether | weird wierd | well wel |
    went wnet | were where | what waht | when wehn | where were |
    whether wether | which wich whitch | while whlie | will wil |
    with wiht whit | without whitout | word wrod | work wrok | world wrold |
    would woud wuold | write wriet rite | writing writting |
    written writen | year yaer | yes yse | yesterday yesterdey | you yuo |
    young yuong | your yuor you're
"""


@functools.cache
def confusables():
    """dict from ASCII letters and digits to lists of look-alikes."""
    table = {}
    for group in _groups(_HOMOGLYPHS):
        table.setdefault(group[0], []).extend(group[1:])
    for block in _FORMS:
        for code in block:
            form, _, target = unicodedata.decomposition(chr(code)).partition(
                " "
            )
            if form in ("<font>", "<wide>") and " " not in target:
                letter = chr(int(target, 16))
                if letter.isascii() and letter.isalnum():
                    table.setdefault(letter, []).append(chr(code))
    return table


@functools.cache
def neighbours():
    """dict from lower-case keys to lists of the keys around them."""
    places = {
        key: (offset + column, row)
        for row, (offset, keys) in enumerate(_ROWS)
        for column, key in enumerate(keys)
    }
    return {
        key: [
            other
            for other, (u, v) in places.items()
            if other != key and (x - u) ** 2 + (y - v) ** 2 < _REACH**2
        ]
        for key, (x, y) in places.items()
    }


@functools.cache
def typos():
    """dict from English words to lists of misspellings."""
    return {group[0]: group[1:] for group in _groups(_TYPOS)}


def _groups(text):
    """Lists of words; groups are separated by bars."""
    return [group.split() for group in text.split("|")]
