"""Two sentences of one meaning in many languages, for the tests of words and of their ranges."""

SAMPLES = {
    "en": "All human beings are born free and equal in dignity and rights. They don't pay 1,234.",
    "de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Größere Häuser, § 12.",
    "fr": "Tous les êtres humains naissent libres et égaux en dignité et en droits. L'été déjà.",
    "es": "Todos los seres humanos nacen libres e iguales en dignidad y derechos. ¿Cuándo empezó?",
    "it": "Tutti gli esseri umani nascono liberi ed eguali in dignità e diritti. Perché?",
    "pt": "Todos os seres humanos nascem livres e iguais em dignidade e em direitos. Não há.",
    "nl": "Alle mensen worden vrij en gelijk in waardigheid en rechten geboren. Zij zijn.",
    "ru": "Все люди рождаются свободными и равными в своём достоинстве и правах. Ёлка и йод.",
    "tr": "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. İstanbul'da ıslık.",
    "el": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.",
    "ar": "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق. وقد وُهِبوا عقلًا وضميرًا.",
    "he": "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם. שָׁלוֹם.",
    "hi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
    "th": "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ",
    "zh": "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心。",
    "ja": "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    "ko": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
}
