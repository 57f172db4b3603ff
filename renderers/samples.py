"""One sentence in many scripts, for galleries and checks.

Here: "This library reads pictures of text.", put into other languages for
this package. Not here: data for training; the wording was not reviewed by
native speakers."""

from typing import NamedTuple


class Sample(NamedTuple):
    """A sentence: `code` BCP 47, `script` ISO 15924, English `language`."""

    code: str
    script: str
    language: str
    text: str


SAMPLES = (
    Sample("en", "Latn", "English", "This library reads pictures of text."),
    Sample("vi", "Latn", "Vietnamese", "Thư viện này đọc ảnh của chữ viết."),
    Sample("ru", "Cyrl", "Russian", "Эта библиотека читает картинки текста."),
    Sample(
        "el", "Grek", "Greek", "Αυτή η βιβλιοθήκη διαβάζει εικόνες κειμένου."
    ),
    Sample(
        "ka", "Geor", "Georgian", "ეს ბიბლიოთეკა კითხულობს ტექსტის სურათებს."
    ),
    Sample(
        "hy", "Armn", "Armenian", "Այս գրադարանը կարդում է տեքստի պատկերներ։"
    ),
    Sample("ar", "Arab", "Arabic", "هذه المكتبة تقرأ صور النص."),
    Sample("fa", "Arab", "Persian", "این کتابخانه تصویر متن را می‌خواند."),
    Sample("he", "Hebr", "Hebrew", "הספרייה הזאת קוראת תמונות של טקסט."),
    Sample("hi", "Deva", "Hindi", "यह लाइब्रेरी पाठ के चित्र पढ़ती है।"),
    Sample("bn", "Beng", "Bengali", "এই লাইব্রেরি লেখার ছবি পড়ে।"),
    Sample("ta", "Taml", "Tamil", "இந்த நூலகம் எழுத்தின் படங்களைப் படிக்கிறது."),
    Sample("te", "Telu", "Telugu", "ఈ లైబ్రరీ పాఠం చిత్రాలను చదువుతుంది."),
    Sample("kn", "Knda", "Kannada", "ಈ ಲೈಬ್ರರಿ ಪಠ್ಯದ ಚಿತ್ರಗಳನ್ನು ಓದುತ್ತದೆ."),
    Sample("ml", "Mlym", "Malayalam", "ഈ ലൈബ്രറി വാചകത്തിന്റെ ചിത്രങ്ങൾ വായിക്കുന്നു."),
    Sample("gu", "Gujr", "Gujarati", "આ લાઇબ્રેરી લખાણનાં ચિત્રો વાંચે છે."),
    Sample("pa", "Guru", "Punjabi", "ਇਹ ਲਾਇਬ੍ਰੇਰੀ ਲਿਖਤ ਦੀਆਂ ਤਸਵੀਰਾਂ ਪੜ੍ਹਦੀ ਹੈ।"),
    Sample("or", "Orya", "Odia", "ଏହି ଲାଇବ୍ରେରୀ ଲେଖାର ଛବି ପଢ଼େ।"),
    Sample("si", "Sinh", "Sinhala", "මෙම පුස්තකාලය අකුරු පින්තූර කියවයි."),
    Sample("th", "Thai", "Thai", "ไลบรารีนี้อ่านภาพของข้อความ"),
    Sample("lo", "Laoo", "Lao", "ຫ້ອງສະໝຸດນີ້ອ່ານຮູບຂອງຂໍ້ຄວາມ"),
    Sample("km", "Khmr", "Khmer", "បណ្ណាល័យនេះអានរូបភាពនៃអក្សរ។"),
    Sample("my", "Mymr", "Burmese", "ဤစာကြည့်တိုက်သည် စာသားပုံများကို ဖတ်သည်။"),
    Sample("bo", "Tibt", "Tibetan", "དཔེ་མཛོད་འདིས་ཡི་གེའི་པར་ཀློག་གི་ཡོད།"),
    Sample("am", "Ethi", "Amharic", "ይህ ቤተ መጻሕፍት የጽሑፍ ምስሎችን ያነባል።"),
    Sample("ko", "Kore", "Korean", "이 라이브러리는 글자의 그림을 읽습니다."),
    Sample("zh", "Hans", "Chinese", "这个程序库阅读文字的图像。"),
    Sample("ja", "Jpan", "Japanese", "このライブラリは文字の画像を読みます。"),
)


def labelled(samples=SAMPLES):
    """List of (label, text) for `renderers.gallery`."""
    return [(f"{s.language} ({s.script})", s.text) for s in samples]
