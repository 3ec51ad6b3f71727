"""Closed lists of wordings that change nothing, in other languages of Europe."""

from __future__ import annotations

from typing import Final

from router.domain.rewordings import Rewordings

GERMAN: Final = Rewordings(
    greetings="hallo|hi|guten tag|moin|servus",
    please="bitte",
    tell=(
        r"(?:(?:kannst|könntest) du|(?:können|könnten) (?-i:Sie)) mir (?:bitte )?sagen|"
        r"(?:sag|sage|sagen (?-i:Sie)) mir(?: bitte)?|weißt du|wissen (?-i:Sie)|"
        r"ich (?:möchte|will|würde gern|würde gerne) wissen"
    ),
    asks=(
        r"(?:was|wer|wo|wann|warum|wieso|wie|wen|wem) (?:ist|sind|war|waren|hat|haben|heißt|liegt|"
        r"kann|können|funktioniert|funktionieren|macht|bedeutet|gibt|wird|werden|soll|muss|"
        r"darf) \S|"
        r"wie (?:kann|soll|muss|darf|mache|finde|bekomme|lerne) (?:ich|man) \S|"
        r"wie (?:viel|viele|lange|alt|groß|hoch|weit|oft|schnell) (?:ist|sind|war|waren|hat|"
        r"kostet|dauert) \S|"
        r"(?:was|wer|wo|wie) .+ (?:ist|sind|funktioniert|hat)\b"
    ),
    requests=r"(?:erkläre,?|beschreibe|nenne|vergleiche|gib mir) \S",
    shaped=(
        (
            r"(?:(?:kannst|könntest) du|(?:können|könnten) (?-i:Sie)) mir (?:bitte )?"
            r"((?:(?! wie | was | warum |,).)+) erklären(?=\?|$)",
            r"erkläre \1",
        ),
        (r"erklären Sie (?:mir )?(?:bitte )?", "erkläre "),
        (r"erkläre?(?: mir)?(?: bitte)?(?=,? )", "erkläre"),
        ("nenn (?:mir )?(?:bitte )?", "nenne "),
        ("nenne mir (?:bitte )?", "nenne "),
    ),
    told=(
        (r"(was|wer|wo) ((?:(?!\b(?:ist|sind)\b|,).)+) (ist|sind|war|waren)$", r"\1 \3 \2"),
        (r"wie (ein|eine|der|die|das) ([\w-]+) funktioniert$", r"wie funktioniert \1 \2"),
        (
            r"wer ([A-ZÄÖÜ][\w ]+|(?:den|die|das) \w+) (geschrieben|erfunden|gemalt|entdeckt) hat$",
            r"wer hat \1 \2",
        ),
    ),
    thanks="bitte|danke|vielen dank|danke schön",
    equal=(
        (r"erkläre, wie (ein|eine|der|die|das) ([\w-]+) funktioniert$", r"wie funktioniert \1 \2"),
        (r"wie (?:heißt|lautet) die Hauptstadt von ", "was ist die Hauptstadt von "),
    ),
)
DUTCH: Final = Rewordings(
    greetings="hallo|hoi|hi|goedendag",
    please="alsjeblieft|alstublieft",
    tell=(
        r"(?:kun|kan|zou) je me (?:alsjeblieft )?(?:vertellen|zeggen)|"
        r"(?:kunt|kan) u me (?:vertellen|zeggen)|weet je|weet u|vertel me|zeg me"
    ),
    asks=(
        r"(?:wat|wie|waar|wanneer|waarom|hoe) (?:is|zijn|was|waren|heeft|heet|kan|werkt|"
        r"betekent|ligt)"
        r" \S|(?:wat|wie|waar) .+ (?:is|zijn|was|waren)\b|hoe [a-z]+ (?:ik|je|u|we) \S|"
        r"hoe (?:veel|lang|oud|groot|hoog|ver) \S"
    ),
    requests=r"leg \S|beschrijf \S|noem \S",
    shaped=(
        (
            r"(?:kun|kan) je (?:me (?:alsjeblieft )?|alsjeblieft )((?:(?! hoe | wat |"
            r",).)+) uitleggen(?=\?|$)",
            r"leg \1 uit",
        ),
        ("leg (?:alsjeblieft|alstublieft) ", "leg "),
    ),
    told=((r"(wat|wie|waar) ((?:(?!\b(?:is|zijn)\b|,).)+) (is|zijn|was|waren)$", r"\1 \3 \2"),),
    thanks="alsjeblieft|alstublieft|bedankt|dank je|dank u",
    bare="alsjeblieft|alstublieft",
)
SWEDISH: Final = Rewordings(
    greetings="hej|hallå|god dag",
    please="snälla",
    tell=r"kan du (?:berätta|säga)(?: för mig)?|berätta(?: för mig)?|säg mig|vet du",
    asks=(
        r"(?:vad|vem|var|när|varför|hur) (?:är|var|heter|har|fungerar|kan|betyder|ligger) \S|"
        r"(?:vad|vem|var) .+ (?:är)\b|vilken .+ (?:är)\b"
    ),
    requests=r"(?:förklara|beskriv) \S",
    shaped=((r"kan du snälla (?=(?:förklara|beskriva) )", ""), ("beskriva ", "beskriv ")),
    told=((r"(vad|vem|var) ((?:(?!\bär\b|,).)+) (är)$", r"\1 \3 \2"),),
    thanks="tack|tack så mycket|snälla",
)
# The imperative is the same in three languages.
_HOW_IT_WORKS = ("explique (?=(?:comment fonctionne|cómo funciona|como funciona) )", "")
FRENCH: Final = Rewordings(
    greetings="bonjour|salut|bonsoir",
    please="s'il te plaît|s'il vous plaît|stp|svp",
    tell=(
        r"(?:peux|pourrais)-tu me dire|(?:pouvez|pourriez)-vous me dire|tu peux me dire|"
        r"est-ce que (?:tu peux|vous pouvez) me dire|dis-moi|dites-moi|"
        r"(?:sais-tu|savez-vous) (?=(?:quel|qui|où)\b)(?!.*\b(?:je|j'|tu|vous|nous|moi)\b)|"
        r"je (?:voudrais|veux|aimerais) savoir"
    ),
    asks=(
        r"(?:quel|quelle|quels|quelles) (?:est|sont|était|âge) \S|qui (?:est|était|a) \S|"
        r"où (?:est|se) \S|"
        r"(?:comment|pourquoi|quand|où) (?:est|sont|fonctionne|a|se|peut|puis|fait|faire) ?\S|"
        r"combien (?:de|d'|y|font|coûte|est) ?\S|qu'est-ce (?:que|qu'|qui) ?\S|"
        r"c'est quoi (?:l'|le |la |les |un |une )\S|comment [a-z]+er \S"
    ),
    requests=r"(?:explique|décris|résume|donne-moi|liste|cite) \S",
    shaped=(
        (r"(?:(?:peux|pourrais)-tu|(?:pouvez|pourriez)-vous) m'expliquer ", "explique "),
        ("(?:explique|expliquez)-moi |expliquez ", "explique "),
        ("(?:peux|pourrais)-tu me décrire ", "décris "),
    ),
    thanks="s'il te plaît|s'il vous plaît|stp|svp|merci|merci d'avance|merci beaucoup",
    bare="s'il te plaît|s'il vous plaît|stp|svp",
    equal=(
        _HOW_IT_WORKS,
        ("c'est quoi (?=la capitale (?:de|du|d'))", "quelle est "),
        ("c'est quoi (?=une? [\\w-]+$)", "qu'est-ce que "),
        (r"qu'est-ce que c'est que (?=(?:l'|le |la |les |un |une ))", "qu'est-ce que "),
    ),
)
SPANISH: Final = Rewordings(
    greetings="hola|buenas|buenos días|buenas tardes",
    please="por favor",
    tell=(
        r"(?:¿?(?:puedes|podrías|puede|podría) decirme|¿?me (?:puedes|podrías|puede|"
        r"podría) decir|dime|"
        r"dígame|¿?sabes(?!.*\b(?:te|tú|yo|me|nos|mi|soy|eres)\b)|quiero saber|quisiera saber|"
        r"me gustaría saber)"
        r"(?=,? ¿?(?:cu[aá]l|qui[eé]n|d[oó]nde|c[oó]mo|cu[aá]nd?t?o|por qué|qué))"
    ),
    asks=(
        r"(?:cuál|cuáles) (?:es|son|era|fue) \S|quién(?:es)? \w+ \S|"
        r"(?:dónde|cómo|cuándo|por qué) (?:está|están|es|son|se|puedo|funciona|funcionan|fue|"
        r"nació|hay) ?\S|"
        r"qué (?:es|son|significa|hora|día|año) \S|cuánt[oa]s \w+ \S|cuánto (?:es|son|cuesta|"
        r"dura|mide|pesa) \S"
    ),
    requests=r"(?:explique|describe|enumera|resume|recomienda|dame) \S",
    shaped=(
        (
            r"¿?(?:(?:puedes|podrías) explicar(?= (?:el|la|los|las|cómo|qué|por qué)\\b)|"
            "(?:puedes|podrías|puede|podría) explicarme) ",
            "explique ",
        ),
        (r"¿?me (?:puedes|podrías|puede|podría) explicar ", "explique "),
        ("(?:explícame|explíqueme|explica) ", "explique "),
    ),
    thanks="por favor|gracias|muchas gracias",
    equal=(_HOW_IT_WORKS,),
)
ITALIAN: Final = Rewordings(
    greetings="ciao|salve|buongiorno",
    please="per favore|per piacere|per cortesia",
    tell=(
        r"(?:puoi|potresti|può|potrebbe) dirmi|mi (?:puoi|potresti|può|sai|sapresti) dire|"
        r"sai dirmi|"
        r"dimmi|mi dica|mi dici|vorrei sapere"
    ),
    asks=(
        r"(?:qual|quale|quali) (?:è|sono|era) \S|chi (?:è|era|ha) \S|"
        r"(?:dove|come|quando) (?:è|sono|si|posso|funziona|funzionano|ha) ?\S|"
        r"(?:che )?cos'è \S|(?:che )?cosa (?:è|sono) \S|quant[ie] \w+ \S|quanto (?:costa|dura|"
        r"pesa|misura) \S|dov'è \S|com'è \S"
    ),
    requests=r"(?:spiega|descrivi|elenca|riassumi) \S",
    shaped=(
        (r"(?:puoi|potresti) spiegarmi |mi (?:puoi|potresti) spiegare |spiegami ", "spiega "),
        (r"mi spieghi (?=(?:il|la|lo|i|gli|le|l'|come|cosa|perché)\b)", "spiega "),
    ),
    thanks="per favore|per piacere|per cortesia|grazie|grazie mille",
    equal=((r"(?:che )?cosa è |che cos'è ", "cos'è "),),
)
PORTUGUESE: Final = Rewordings(
    greetings="olá|oi|bom dia|boa tarde",
    please="por favor|por gentileza",
    tell=(
        r"(?:você )?(?:pode|poderia|podes|podia) me dizer|(?:pode|poderia|podes)-me dizer|"
        r"me diga|me diz|"
        r"diga-me|diz-me|(?:você )?sabe me dizer|gostaria de saber|quero saber"
    ),
    asks=(
        r"(?:qual|quais) (?:é|são|era|foi) \S|quem (?:é|era|foi|escreveu|inventou) \S|"
        r"(?:onde|quando|por que) (?:é|são|está|fica|se|posso|funciona|funcionam|foi) ?\S|"
        r"como (?:se|posso|funciona|funcionam) ?\S|"
        r"o que (?:é|são|significa) \S|quant[oa]s \w+ \S|quanto (?:é|custa|dura|mede|pesa) \S"
    ),
    requests=r"(?:explique|descreva|liste|resuma) \S",
    shaped=(
        (
            r"(?:(?:você )?(?:pode|poderia) (?:me|por favor) explicar|"
            r"você (?:pode|poderia) explicar(?= (?:o|a|os|as|como|por que)\b)) ",
            "explique ",
        ),
        ("me explique |explique-me ", "explique "),
    ),
    thanks="por favor|por gentileza|obrigado|obrigada|muito obrigado|muito obrigada",
    equal=(_HOW_IT_WORKS,),
)
POLISH: Final = Rewordings(
    greetings="cześć|dzień dobry|hej|witam",
    please="proszę",
    tell=(
        r"powiedz mi|powiedz|(?:czy )?(?:możesz|mógłbyś|mogłabyś) mi powiedzieć|proszę powiedz|"
        r"proszę powiedzieć|chciałbym wiedzieć|chciałabym wiedzieć"
    ),
    asks=(
        r"(?:jaki|jaka|jakie) (?:jest|są|był|była|było) \S|(?:kto|co|gdzie|kiedy|jak|dlaczego) "
        r"(?:jest|są|to|był|była|napisał|działa|działają|mogę|znajduje|leży|oznacza) ?\S|ile \w+ \S"
    ),
    requests=r"(?:wyjaśnij,?|opisz|wymień) \S",
    shaped=((r"wyjaśnij mi ", "wyjaśnij "),),
    thanks="proszę|dzięki|dziękuję",
    equal=(("wyjaśnij, (?=jak działa )", ""),),
)
RUSSIAN: Final = Rewordings(
    letters="[\u0430-\u044f]",
    greetings="привет|здравствуйте|здравствуй|добрый день",
    please="пожалуйста",
    tell=(
        r"(?:скажи|скажите|подскажи|подскажите|ответь)(?: мне)?(?:,? пожалуйста)?|"
        r"(?:ты )?(?:можешь|можете) (?:мне )?(?:сказать|подсказать)|"
        r"не (?:могли|мог|могла) бы (?:вы|ты) (?:мне )?сказать|(?:ты )?(?:знаешь|"
        r"не знаешь)(?=,? (?:какой|какая|какое|какие|кто|где|когда)\b)"
        r"(?!.*\b(?:я|мне|меня|ты|тебя|тебе|мы|нас)\b)|"
        r"(?:я )?хочу знать|(?:расскажи|расскажите)(?=, (?:как работает|почему) )"
    ),
    asks=(
        r"(?:какой|какая|какое|какие) (?!\w+(?:ый|ий|ой|ая|яя|ое|ее|ые|ие) )\w+ \w|(?:кто|где|"
        r"когда|почему|зачем|как) "
        r"(?:работает|работают|написал|изобрёл|находится|родился|называется|можно|мне|такой|"
        r"такая|был)"
        r" \S|как [а-яё]+ть \S|что (?:такое|значит|означает) \S|сколько \w+ \S"
    ),
    requests=r"(?:объясни,?|опиши|перечисли|назови) \S",
    shaped=(
        (
            r"(?:ты )?(?:можешь|можете|мог бы ты|могли бы вы|не могли бы вы)(?:,? пожалуйста,?)? "
            r"объяснить(?: мне)?(?=,? )",
            "объясни",
        ),
        (r"(?:объясни|объясните)(?: мне)?(?:, пожалуйста)?(?=,? )", "объясни"),
    ),
    thanks="пожалуйста|спасибо|заранее спасибо",
    equal=(("объясни, (?=(?:что такое|как работает|почему) )", ""),),
)
UKRAINIAN: Final = Rewordings(
    letters="[\u0430-\u044f\u0456]",
    greetings="привіт|вітаю|добрий день",
    please="будь ласка",
    tell=r"(?:скажи|скажіть|підкажи|підкажіть)(?: мені)?(?:, будь ласка)?",
    asks=(
        r"(?:який|яка|яке|які) (?!\w+(?:ий|ій|а|е|і) )\w+ \w|(?:хто|де|коли|чому|як) \w+ \w|"
        r"що (?:таке|означає) \S|"
        r"скільки \w+ \S"
    ),
    requests=r"(?:поясни|опиши) \S",
    shaped=((r"(?:поясни|поясніть)(?: мені)?(?:, будь ласка,?)? ", "поясни "),),
    thanks="будь ласка|дякую",
)
GREEK: Final = Rewordings(
    letters="[\u03b1-\u03c9]",
    greetings="γεια|γεια σου|γεια σας|καλημέρα",
    please="παρακαλώ|σε παρακαλώ|σας παρακαλώ",
    tell=r"(?:μπορείς|μπορείτε|θα μπορούσες) να μου (?:πεις|πείτε)|πες μου|πείτε μου|ξέρεις",
    asks=(
        r"(?:ποια|ποιο|ποιος|ποιες|ποιοι) (?:είναι|ήταν|έγραψε) \S|τι είναι \S|πού (?:είναι|"
        r"βρίσκεται) \S|"
        r"(?:πότε|πώς) (?:είναι|ήταν|λειτουργεί|γεννήθηκε) ?\S"
    ),
    requests=r"(?:εξήγησε|περίγραψε) \S",
    shaped=((r"(?:μπορείς να μου εξηγήσεις|εξήγησέ μου|εξηγήστε μου) ", "εξήγησε "),),
    thanks="παρακαλώ|σε παρακαλώ|ευχαριστώ",
)
EUROPE: Final = (
    GERMAN,
    DUTCH,
    SWEDISH,
    FRENCH,
    SPANISH,
    ITALIAN,
    PORTUGUESE,
    POLISH,
    RUSSIAN,
    UKRAINIAN,
    GREEK,
)
