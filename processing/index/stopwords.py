"""Words of questions that say nothing of the answer: their rarity in a small collection misleads.

They are indexed like all others, so that a phrase of them can be found; a query of other words
leaves them out.
"""

from .folding import bare

STOP_WORDS = {
    language: frozenset(map(bare, words.split()))
    for language, words in {
        "en": """
            a about am an and any are as at be been by can could did do does for from
            get had has have how i if in into is it its me my no not of on or our
            shall should so some than that the their them then there these they this
            those to us was we were what when where which who whom whose why will with
            would you your
            """,
        "de": """
            aber als also am an auf aus bei bin bis da das dass dem den der des die
            dies diese dieser dieses du durch ein eine einem einen einer eines er es
            fur gibt habe haben hat ich ihr ihre im in ist ja kann kein keine konnen
            man mehr mein mit muss mussen nach nicht noch nur ob oder sein seine sich
            sie sind so soll und uns unser vom von vor wann war warum was welche
            welchem welchen welcher welches wenn wer werden wem wen wessen wie wieso
            wir wird wo woher wohin wurde wurden zu zum zur uber unter
            """,
        "fr": """
            a ai as au aux avec c ce ces cet cette comment combien d dans de des doit
            doivent donc du elle elles en est et etre eu fait il ils j je l la le les
            leur leurs lorsque m ma mais me mes n ne nos notre nous on ont ou par pas
            peut peuvent pour pourquoi qu quand que quel quelle quelles quels qui quoi
            s sa sans se sera ses si son sont sur t ta te tu un une vos votre vous y
            """,
        "es": """
            a al algo como con cual cuales cuando cuanto cuantos de debe deben del
            donde e el ella ellos en entre era es esa ese eso esta este esto estos ha
            han hay la las le les lo los mas me mi muy no nos o para pero por porque
            puede pueden que quien quienes se ser si sin sobre son su sus tiene tienen
            un una unos y ya
            """,
        "it": """
            a ad ai al alla alle anche che chi ci come con cosa cui da dal dalla de
            dei del della delle di dove e ed essere ha hanno i il in io l la le lo ma
            mi nel nella non o per perche piu puo quale quali quando quanto quanti
            questa questo se si sono su sul sulla un una uno
            """,
        "pt": """
            a ao aos as com como da das de deve do dos e ela ele em entre era essa
            esse esta este eu foi ha isso mais mas me na nao nas no nos o onde os ou
            para pela pelo pode por porque qual quais quando quanto quantos que quem
            se sem ser seu sua sao tem um uma
            """,
        "nl": """
            aan al als bij dan dat de der deze die dit door een en er haar had heb
            heeft het hij hoe hoeveel ik in is je kan maar me met mijn moet na naar
            niet nog nu of om ons ook op over te tot uit van veel voor waar waarom
            wanneer was wat we welk welke wie wij worden wordt ze zich zij zijn zo zou
            """,
        "ru": """
            а без бы был была были было быть в вам вас весь во вот все всего вы где да
            для до его ее ей если есть еще же за зачем и из или им их к как какая
            какие каким какого какой какую ко когда кого кому которая которые который
            кто куда ли либо может можно мы на над надо не него нее нет ни них но о об
            он она они оно от по под почему при с сколько со так также там то того
            тоже только ты у уже чего чей чем что чтобы эта эти это этот я
            """,
        "ar": """
            ما ماذا من متى اين كيف كم هل لماذا هو هي هم في على الى عن مع ان او و هذا
            هذه ذلك تلك التي الذي الذين كل لا لم لن قد كان كانت يكون بين بعد قبل عند
            اي ايه لمن بماذا
            """,
        "hi": """
            का की के में से को है हैं था थे थी और या पर यह वह क्या कौन कब कहाँ कैसे
            क्यों किस किसे किसी कितने कितनी कितना ने भी तो ही हो होता होती होते लिए एक
            इस उस जो तक कोई
            """,
    }.items()
}
# Pairs of characters in questions that are written without spaces.
STOP_PAIRS = frozenset(
    "什么 怎么 怎样 如何 哪些 哪个 哪里 多少 为什 为何 是否 可以 可否 谁的 何时".split()  # noqa: SIM905
)
