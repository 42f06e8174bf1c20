"""Short texts in scripts that part words differently, with the words that a reader of each would count."""

from __future__ import annotations

WORDS = {
    "ar": ("هذا الفيلم رائع جدًا", ["هذا", "الفيلم", "رائع", "جدًا"]),
    "de": ("Größere Straßen, und zwar täglich!", ["Größere", "Straßen", "und", "zwar", "täglich"]),
    "en": ("It isn't the 1980's m² any more.", ["It", "isn't", "the", "1980's", "m²", "any", "more"]),
    "hi": ("यह की किताब अच्छी है।", ["यह", "की", "किताब", "अच्छी", "है"]),
    "ja": ("この映画はケーキだ", ["こ", "の", "映", "画", "は", "ケーキ", "だ"]),
    "ko": ("이 영화는 좋다", ["이", "영화는", "좋다"]),
    "th": ("หนังดีที่สุด", ["ห", "นั", "ง", "ดี", "ที่", "สุ", "ด"]),
    "zh": ("这部电影，很好看", ["这", "部", "电", "影", "很", "好", "看"]),
    "emoji": ("🔥👍🏽 👩‍👩‍👧🇩🇪 1️⃣☺", ["🔥", "👍🏽", "👩‍👩‍👧", "🇩🇪", "1️⃣", "☺"]),
}
"""Name → text, and its words."""
