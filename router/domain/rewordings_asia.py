"""Closed lists of wordings that change nothing, in languages of Asia."""

from __future__ import annotations

from typing import Final

from router.domain.rewordings import Rewordings

TURKISH: Final = Rewordings(
    letters="[çğıöşüİ]|nedir|kimdir|nerede",
    greetings="merhaba|selam|iyi günler",
    please="lütfen",
    tell=r"(?:bana )?(?:söyle|söyler misin|söyleyin)",
    asks=(
        r"\S+(?: \S+){0,8} (?:nedir|neresidir|neresi|hangisidir|hangisi|kimdir|kim|nerede|"
        r"kaçtır)(?=\?|$)"
    ),
    lowers=False,
    thanks="lütfen|teşekkürler|teşekkür ederim",
    equal=((r"(.+ nere)sidir$", r"\1si"), (r"(.+ (?:kim|hangisi))dir$", r"\1")),
)
ARABIC: Final = Rewordings(
    letters="[\u0600-\u06ff]",
    greetings="مرحبا|مرحبًا|السلام عليكم|أهلا",
    please="من فضلك|لو سمحت|رجاءً",
    tell=(
        r"هل (?:يمكنك|تستطيع|بإمكانك) (?:أن تخبرني|إخباري)|أخبرني|قل لي|أريد أن أعرف"
        r"|هل تعرف(?= (?:ما|من|أين|متى) )"
    ),
    asks=r"(?:ما|من) (?:هي|هو) \S|(?:أين|متى|كيف|لماذا|ماذا) \S+ ?\S|ما عاصمة \S",
    requests=r"اشرح \S",
    shaped=(
        (r"هل يمكنك (?:أن تشرح|شرح) (?:لي |(?=كيف |لماذا |ما ))", "اشرح "),
        ("اشرح لي ", "اشرح "),
    ),
    thanks="من فضلك|لو سمحت|شكرا|شكرًا",
    equal=((r"ما عاصمة ", "ما هي عاصمة "),),
)
HINDI: Final = Rewordings(
    letters="[\u0900-\u097f]",
    greetings="नमस्ते|हैलो|नमस्कार",
    please="कृपया",
    tell=(
        r"क्या आप (?:मुझे )?(?:बता सकते हैं|बता सकती हैं)(?: कि)?|"
        r"(?:कृपया )?(?:मुझे )?(?:बताएं|बताइए|बताओ|बताएँ)(?: कि)?"
    ),
    asks=(
        r"\S+(?: \S+){0,12} (?:क्या|कौन|कौन सी|कौन सा|कहाँ|कहां|कब|कितना|कितनी|कैसे|"
        r"(?:कैसे|क्यों) \S+) (?:है|हैं|था|थी|थे)(?=[?।]| ?\?|$)"
    ),
    requests=r"\S+(?: \S+){0,12} को समझाएं(?=[।.]|$)",
    shaped=((r"(\S+(?: \S+){0,12} को) (?:समझाइए|समझाएँ|समझाओ)", r"\1 समझाएं"),),
    thanks="कृपया|धन्यवाद|शुक्रिया",
    equal=((r"(\S+ की राजधानी) कौन सी (?=है)", r"\1 क्या "),),
)
VIETNAMESE: Final = Rewordings(
    letters="[\u00e0-\u00fd\u0103\u0111\u01a1\u01b0\u1ea0-\u1ef9]",
    greetings="xin chào|chào bạn|chào",
    please=r"(?:làm ơn|vui lòng|xin)(?= (?:hãy )?(?:cho (?:(?:tôi|mình) )?biết|giải thích) )",
    tell=r"(?:hãy )?cho (?:tôi|mình) biết|cho biết",
    asks=r"\S+(?: \S+){1,16} (?:là gì|là ai|ở đâu|khi nào|bao nhiêu)(?=\?|$)",
    requests=r"giải thích \S",
    shaped=(
        (r"[Bb]ạn có thể cho (?:tôi|mình) biết (.+) không\?$", r"\1?"),
        (r"[Bb]ạn có thể giải thích (.+) không\?$", r"giải thích \1"),
        ("[Hh]ãy giải thích |Giải thích ", "giải thích "),
    ),
    lowers=False,
    thanks="cảm ơn|cảm ơn bạn|cám ơn",
    equal=((r"[Tt]hủ đô (?:của )?(?=[A-Z])", "thủ đô "),),
)
INDONESIAN: Final = Rewordings(
    greetings="halo|hai|selamat pagi|selamat siang",
    please="tolong|mohon",
    tell=(
        r"(?:bisakah|dapatkah) (?:kamu|anda) (?:memberi tahu|memberitahu) saya|"
        r"(?:beri tahu|beritahu)(?: saya)?|"
        r"apakah (?:kamu|anda) tahu(?= (?:apa|siapa|kapan|di mana) )(?!.*\b(?:saya|aku|kita)\b)"
    ),
    asks=r"(?:apa|siapa|bagaimana|mengapa|kapan|berapa|di mana) (?!kamu |anda |saya )\S+ \S",
    requests=r"jelaskan \S",
    shaped=(
        (
            r"(?:bisakah|dapatkah) (?:kamu|anda) (?:tolong menjelaskan|menjelaskan(?= (?:apa|"
            r"bagaimana|mengapa)\b)) ",
            "jelaskan ",
        ),
    ),
    thanks="tolong|terima kasih|makasih",
)
HEBREW: Final = Rewordings(
    letters="[\u05d0-\u05ea]",
    greetings="שלום|היי|הי",
    please="בבקשה",
    tell=r"(?:אתה יכול|את יכולה|תוכל|תוכלי|האם תוכל) (?:לומר|להגיד) לי|תגיד לי|תגידי לי|אמור לי",
    asks=r"(?:מהי|מהו|מי|איפה|מתי) \S+ ?\S*|מה בירת \S+",
    requests=r"הסבר \S",
    thanks="בבקשה|תודה|תודה רבה",
)
_CHINESE_QUESTION = (
    r"(?!.*(?:[：:\"“「『]|翻译|翻譯|[什甚][么麼][都也]|谁[都也]|誰[都也]|哪\w?[都也]|[没沒].?什|好像|似乎|多少有|无论|無論|不管|不论|不論))"
    r".*(?:什么|什麼|谁|誰|哪(?!怕)|怎么|怎麼|多少|几(?![乎何])|为什么|為什麼|如何|何时)"
)
_CHINESE_VERBS = "解释|解釋|介绍|介紹|说明|說明|描述|列出|推荐|推薦"
# Without such a word the verb and what follows may be one name: "recommender system".
_CHINESE_WHAT = (
    "(?=什么|什麼|怎么|怎麼|如何|为什么|為什麼|"
    "[一二两兩三四五六七八九十几幾][个個本部首篇种種条條家款座])"
)
CHINESE: Final = Rewordings(
    letters="[\u4e00-\u9fff]",
    greetings="你好",
    asks=_CHINESE_QUESTION,
    requests=rf"(?:{_CHINESE_VERBS}){_CHINESE_WHAT}",
    shaped=(
        (
            rf"(?:请问|請問)(?![候题題责責的是路人别別醫医老大专專])[，,]?(?={_CHINESE_QUESTION})",
            "",
        ),
        (
            rf"[你您]?(?:能|可以|能不能|可不可以)(?:请)?(?:告诉|"
            rf"告訴)我(?![点點些]|什[么麼](?!是))(?={_CHINESE_QUESTION})([^？?吗嗎]+)"
            r"[吗嗎][？?]?$",
            r"\1",
        ),
        (rf"[请請]?(?:告诉|告訴)我(?={_CHINESE_QUESTION})([^？?吗嗎。]+)[？?。]?$", r"\1"),
        (
            rf"[你您]?(?:能|可以)(?:请|帮我)?({_CHINESE_VERBS})(?:一下)?"
            rf"{_CHINESE_WHAT}([^？?：:“「]+)[吗嗎][？?]$",
            r"\1\2",
        ),
        (rf"[请請](?:你|您|帮我)?({_CHINESE_VERBS})(?:一下)?{_CHINESE_WHAT}", r"\1"),
        (rf"({_CHINESE_VERBS})一下{_CHINESE_WHAT}", r"\1"),
    ),
    equal=(("解释(?=什么是)", ""), (r"(\w+的首都是)(?:什么|哪个城市|哪座城市)$", r"\1哪里")),
)
_JAPANESE_PLAIN = r"(?!.*(?:[：:「」『』\"“]|訳|語|丁寧|敬語|言葉|意味|単語))"
_JAPANESE_WHAT = "(?:どこ|(?<!幾)何|誰|だれ|いつ|いくら|どれ|どちら)"
_JAPANESE_DO = "(?:説明|要約|紹介|解説|比較)して|教えて"
JAPANESE: Final = Rewordings(
    letters="[\u3041-\u30ff]",
    greetings="こんにちは|すみません",
    asks=(rf"{_JAPANESE_PLAIN}.+(?:{_JAPANESE_WHAT}|ですか|ますか|でしょうか)(?=[？?]?$)"),
    requests=rf"{_JAPANESE_PLAIN}.+(?:{_JAPANESE_DO})(?=。?$)",
    shaped=(
        (
            rf"({_JAPANESE_PLAIN}.+{_JAPANESE_WHAT})(?:ですか|でしょうか|でございますか)[？?。]?$",
            r"\1",
        ),
        (rf"({_JAPANESE_PLAIN}.+(?:{_JAPANESE_DO}))(?:ください|下さい)。?$", r"\1"),
        (
            rf"({_JAPANESE_PLAIN}[^がはにもでばらと]+(?:を|について)(?:{_JAPANESE_DO}))"
            r"(?:もらえますか|くれますか|いただけますか|頂けますか|くれませんか|"
            r"いただけませんか)[？?。]?$",
            r"\1",
        ),
    ),
)
_KOREAN_PLAIN = r"(?!.*(?:[：:\"“‘「]|번역|영어|한국어|존댓말|반말|단어|의미|뜻))"
_KOREAN_WHAT = "(?:어디|무엇|누구|언제|얼마)"
KOREAN: Final = Rewordings(
    letters="[\uac00-\ud7a3]",
    greetings="안녕하세요|안녕",
    asks=(
        rf"{_KOREAN_PLAIN}.+(?:{_KOREAN_WHAT}|인가요|나요|입니까|습니까|합니까|됩니까)(?=[?？]?$)"
    ),
    requests=rf"{_KOREAN_PLAIN}.+(?:설명|요약|소개|비교)해 줘(?=\.?$)",
    shaped=(
        (rf"({_KOREAN_PLAIN}.+ {_KOREAN_WHAT})(?:인가요|예요|에요|이에요|입니까|야)[?？]?$", r"\1"),
        (rf"({_KOREAN_PLAIN}.+ )(?:뭐예요|뭔가요|뭡니까)[?？]?$", r"\1무엇"),
        (
            rf"({_KOREAN_PLAIN}.+(?:설명|요약|소개|비교))해 ?(?:주세요|줘|줘요|주십시오)\.?$",
            r"\1해 줘",
        ),
        (
            rf"({_KOREAN_PLAIN}[^ ]+[을를] (?:설명|요약|소개|비교))"
            r"해 ?(?:줄 수 있나요|주실 수 있나요|주시겠어요)[?？]$",
            r"\1해 줘",
        ),
    ),
)
_THAI_PLAIN = r"(?!.*(?:[:\"“]|แปล|คำว่า|ภาษา|ไม่))"
_THAI_WHAT = "(?:อะไร|ที่ไหน|ใคร|เมื่อไหร่|เมื่อไร|อย่างไร|ยังไง|เท่าไหร่|เท่าไร)"
THAI: Final = Rewordings(
    letters="[\u0e01-\u0e5b]",
    asks=rf"{_THAI_PLAIN}.+{_THAI_WHAT}(?=\??$)",
    shaped=(
        (rf"(?:ช่วยบอกหน่อยว่า|บอกหน่อยว่า|ช่วยบอกว่า|อยากทราบว่า)(?=.+{_THAI_WHAT})", ""),
        (rf"({_THAI_PLAIN}.+{_THAI_WHAT})(?:นะ)?(?:ครับ|คะ|ค่ะ)\??$", r"\1"),
    ),
)
ASIA: Final = (
    TURKISH,
    ARABIC,
    HINDI,
    VIETNAMESE,
    INDONESIAN,
    HEBREW,
    CHINESE,
    JAPANESE,
    KOREAN,
    THAI,
)
