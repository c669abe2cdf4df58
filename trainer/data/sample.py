"""A synthetic data set to try everything on: Chinese comments with all four tasks' labels.

Texts are put together from templates and word lists, not written by people. The same words occur in attacks
and in harmless sentences (negation, quoting, teasing, sarcasm), so that counting words is not enough.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from trainer.data.tasks import BUILTIN
from trainer.errors import DataError, UserError
from trainer.files import write_text

#: Fewest rows with which every class of every task can be expected in the training part.
MIN_ROWS = 100

#: Share of labels replaced by another class of the same task.
LABEL_NOISE = 0.05

_README = "README.txt"
_TITLE = "SYNTHETIC DATA: made by a program, written by nobody, about nobody."
_SLOT = re.compile(r"\{(\w+)\}")

WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "you": ("你", "妳", "你這傢伙", "樓上的", "某人"),
        "they": ("他", "她", "小明", "阿傑", "雅婷", "班長", "隔壁班的", "那個女生", "學長", "志豪"),
        "other": ("小美", "轉學生", "我同桌", "怡君", "新來的", "坐後面的同學", "學弟", "阿宏"),
        "insult": (
            *("笨蛋", "豬頭", "討厭鬼", "膽小鬼", "飯桶", "草包", "蠢蛋", "跟屁蟲"),
            *("愛哭鬼", "吹牛大王", "懶惰蟲", "小氣鬼", "騙子", "呆子", "馬屁精", "醜八怪"),
        ),
        "severe": ("廢物", "垃圾", "人渣", "敗類", "窩囊廢", "寄生蟲"),
        "bad": ("笨", "蠢", "噁心", "無聊", "沒用", "丟臉", "幼稚", "煩", "遜", "假"),
        "good": ("聰明", "厲害", "努力", "可愛", "有才華", "勇敢", "細心", "有趣", "可靠"),
        "leave": ("滾出去吧", "快點轉學啦", "沒人想看到你", "從這裡消失", "別再出現了", "不要活在我面前"),
        "say": ("罵", "笑", "叫", "在背後說", "當眾說", "傳訊息說", "一直喊"),
        "time": ("昨天", "今天", "放學後", "下課的時候", "明天", "上週", "午休時", "這幾天", "剛剛"),
        "place": ("群組裡", "教室", "走廊", "網路上", "操場", "限時動態", "球場", "補習班", "留言區"),
        "sad": ("我好難過", "不敢去學校了", "晚上睡不著", "不知道該跟誰說", "我躲在廁所", "真的很受傷"),
        "watch": ("沒有人出聲", "大家都在看", "我不知道該不該說", "老師也不在", "旁邊的人還拍照"),
        "help": ("我去告訴老師了", "我把她拉走了", "可以不要這樣嗎", "這樣很過分", "我覺得該有人制止"),
        "fail": ("連這題都不會", "又是最後一名", "又把大家害慘了", "一上場就輸", "只會拖累全組"),
        "win": ("連這題都會", "又是第一名", "又幫了大家一次", "一上場就贏", "帶著全組過關"),
        "deed": ("亂講話", "告狀", "多嘴", "打小報告", "不還錢", "擋我的路"),
        "harm": ("後悔", "好看", "在學校待不下去", "沒朋友", "吃不完兜著走"),
        "thing": ("照片", "日記", "聊天紀錄", "考卷", "秘密", "自拍"),
        "act": ("打球", "吃冰", "寫報告", "看電影", "練團", "去圖書館", "買珍奶", "慶生"),
        "topic": ("這部電影", "這場比賽", "數學作業", "新的手機", "今天的午餐", "這首歌", "公車", "這個遊戲"),
        "plain": ("還可以", "普通", "沒什麼特別的", "跟上次差不多", "有長有短", "看完了", "聽說改版了"),
        "chat": (
            *("等一下要去補習", "剛下課", "外面在下雨", "晚餐還沒吃", "週末要交報告", "手機快沒電了"),
            *("我坐第三排", "明天第一節是體育", "便當訂好了", "公車又晚到", "社團五點開始", "作業寫到一半"),
            *("圖書館人很多", "我剛看完那篇文章", "昨天十點就睡了", "老師說下週小考", "先說我不是當事人"),
            *(
                "這件事情講過很多遍了",
                "不知道有沒有人看到",
                "群組訊息好多",
                "想問一下大家的意見",
                "補充一下前面的留言",
            ),
        ),
        "aside": (
            *("{they}說{topic}真{bad}", "{they}說過自己不是{insult}", "有人在{place}說{topic}很{good}"),
            *("{they}{time}也在{place}", "我跟{they}不熟", "{insult}這個詞我也會用", "誰{say}誰我不知道"),
            *("{other}跟{they}{time}去{act}", "我{time}有看到{you}", "{they}不{bad}", "不是在說{other}"),
        ),
        "negative": ("真的很煩", "氣死", "好累", "心情很差", "唉", "受不了", "傻眼", "😡", "難過"),
        "neutral": ("就這樣", "先這樣", "大概吧", "隨便", "參考一下", "沒別的了", "嗯"),
        "positive": ("哈哈哈", "笑死", "好開心", "太棒了", "讚啦", "😂", "期待", "感動"),
    }
)


@dataclass(frozen=True)
class Scenario:
    """One kind of comment. labels: (toxicity, bullying, role); emotions: weights of the three emotions."""

    weight: float
    labels: tuple[int, int, int]
    emotions: tuple[float, float, float]
    templates: tuple[str, ...]


SCENARIOS = (
    Scenario(  # an insult, once
        *(10, (1, 0, 1), (8, 1, 2)),
        (
            *(
                "{you}就是{insult}",
                "{you}這個{insult}，{fail}",
                "{you}怎麼這麼{bad}",
                "{you}不是{insult}是什麼",
            ),
            *(
                "沒看過像{you}這麼{bad}的人",
                "{you}哪裡不{bad}了",
                "我說的{insult}就是{you}",
                "{insult}，{fail}",
            ),
            *("{you}不是很{good}嗎，{fail}", "{you}真{good}，{fail}", "誰跟你說{you}{good}的，根本{insult}"),
        ),
    ),
    Scenario(  # the same words, taken back
        *(8, (0, 0, 0), (1, 4, 5)),
        (
            *("{you}不是{insult}", "{you}才不是什麼{insult}", "誰說{you}是{insult}的", "{you}哪裡{bad}了"),
            *(
                "{you}一點也不{bad}",
                "別說自己是{insult}，{win}",
                "{you}不{bad}，{win}",
                "沒有人覺得{you}{bad}",
            ),
            *("{you}真{good}，{win}", "我沒有說{you}是{insult}", "{you}不是{insult}，是很{good}的人"),
        ),
    ),
    Scenario(  # severe
        *(9, (2, 1, 1), (9, 1, 1)),
        (
            *("像{you}這種{severe}，{leave}", "{you}這個{severe}，{leave}", "全班最{bad}的{severe}就是{you}"),
            *("沒有人想跟{severe}同組，{leave}", "{you}這{insult}，{leave}", "{severe}就是{severe}，{fail}"),
            *("{you}連{severe}都不如", "{insult}加{severe}，{you}最好{leave}"),
        ),
    ),
    Scenario(  # shutting out, setting others on
        *(8, (1, 1, 1), (4, 3, 4)),
        (
            *("{time}開始誰都別理{other}", "把{other}踢出群組吧", "誰跟{other}說話誰就是{insult}"),
            *("{other}又發{thing}了，大家快來笑", "我{time}在{place}{say}{other}{insult}"),
            *("我們{say}{other}是{insult}，{other}就哭了", "{place}投票：{other}到底有多{bad}"),
        ),
    ),
    Scenario(  # a threat, rude
        *(7, (1, 2, 1), (8, 2, 1)),
        (
            *("{insult}，{time}在{place}給我等著", "{you}再{deed}試試看，我讓你{harm}"),
            *("敢{deed}的話我就把{you}的{thing}貼到{place}", "{you}這{insult}，小心我讓你{harm}"),
        ),
    ),
    Scenario(  # a threat in polite words
        *(5, (0, 2, 1), (3, 6, 1)),
        (
            *("{time}你最好不要一個人回家", "再{deed}的話，我不保證會發生什麼事", "我知道你家在哪裡"),
            *("{you}的{thing}在我這裡，你知道該怎麼做", "{time}在{place}等你，記得一個人來"),
        ),
    ),
    Scenario(  # what looks like one
        *(5, (0, 0, 0), (1, 4, 5)),
        (
            *("{time}在{place}等我，一起{act}", "小心{thing}別忘了帶", "{you}再{act}一次試試看，會更{good}"),
            *("{time}你不要一個人回家，我們一起{act}", "我知道你家在哪裡，{time}去找你{act}"),
            *("{you}的{thing}在我這裡，{time}還你",),
        ),
    ),
    Scenario(  # the one it happens to
        *(10, (0, 1, 2), (9, 1, 0.5)),
        (
            *(
                "{they}{time}又{say}我{insult}",
                "我{time}在{place}被{they}{say}{insult}",
                "{they}叫大家不要理我",
            ),
            *(
                "{they}在{place}{say}我是{insult}，{sad}",
                "他們{say}我{bad}，{sad}",
                "又被{say}{severe}，{sad}",
            ),
            *("為什麼{they}總是{say}我{insult}", "{they}把我的{thing}貼到{place}，{sad}"),
        ),
    ),
    Scenario(
        *(5, (0, 2, 2), (9, 2, 0.5)),
        (
            *(
                "{they}說{time}要我等著，{sad}",
                "收到訊息說再{deed}就讓我{harm}",
                "{they}說我不{act}就要我{harm}",
            ),
            *("{they}拿我的{thing}威脅我，{sad}", "{they}叫我{time}一個人去{place}，{sad}"),
        ),
    ),
    Scenario(  # the ones who see it
        *(9, (0, 1, 3), (5, 5, 0.5)),
        (
            *("{they}{time}在{place}{say}{other}{insult}，{watch}", "{other}被{they}{say}{severe}，{watch}"),
            *("看到有人{say}{other}{insult}，{help}", "不要再{say}{other}{insult}了，{help}"),
            *("{they}叫大家不要理{other}，{help}", "{they}把{other}的{thing}貼到{place}，{watch}"),
        ),
    ),
    Scenario(  # what did not happen, or is over
        *(9, (0, 0, 0), (2, 5, 4)),
        (
            *("{they}從來沒有{say}我{insult}", "{they}{time}沒有在{place}{say}{other}{insult}"),
            *("我{time}沒有在{place}{say}{they}{insult}", "老師說不可以{say}別人{insult}"),
            *("{they}以前{say}我{insult}，現在我們一起{act}", "沒有人把{other}的{thing}貼到{place}"),
            *("{they}說沒有要我{harm}", "{they}不會叫大家不要理{other}", "{they}不是{severe}，{win}"),
        ),
    ),
    Scenario(  # an insult that goes on
        *(6, (1, 1, 1), (5, 2, 4)),
        (
            *(
                "{you}就是{insult}，每天都要說一次",
                "我們{time}也會{say}{you}{insult}",
                "{you}怎麼還是這麼{bad}",
            ),
            *("大家都說{you}是{insult}，{fail}", "{you}不是{insult}是什麼，我天天都要{say}"),
        ),
    ),
    Scenario(  # of oneself, of things, among friends
        *(8, (0, 0, 0), (5, 2, 4)),
        (
            *("我真是{insult}，{fail}", "我怎麼這麼{bad}", "{topic}真{bad}", "{topic}根本{severe}"),
            *(
                "{insult}，生日快樂",
                "你這個{insult}，記得早點睡",
                "{insult}，我當然挺你",
                "{topic}讓人覺得自己很{bad}",
            ),
        ),
    ),
    Scenario(  # chatter
        *(16, (0, 0, 0), (2, 6, 3)),
        (
            *(
                "{topic}{plain}",
                "{time}要去{place}{act}",
                "有人要一起{act}嗎",
                "{they}{time}跟{other}去{act}",
            ),
            *("{they}說{topic}{plain}", "{other}的{thing}放在{place}", "{time}{chat}", "{they}很{good}"),
        ),
    ),
)


def write_sample(directory: Path, *, rows: int, seed: int) -> dict[str, Path]:
    """Write train, val and test.jsonl (80/10/10) and a README.txt under `directory`; the paths of the three.

    The same (rows, seed) give the same bytes. No text occurs twice.
    Raises `UserError` for fewer than `MIN_ROWS` rows, `DataError` where other data would be overwritten.
    """
    if rows < MIN_ROWS:
        raise UserError(
            f"a sample of {rows} rows is too small to hold every class: ask for {MIN_ROWS} or more"
        )
    paths = {name: directory / f"{name}.jsonl" for name in ("train", "val", "test")}
    _refuse_overwriting(directory, paths=paths)
    comments = _comments(rows, random.Random(seed))
    tenth = rows // 10
    parts = {"train": comments[2 * tenth :], "val": comments[:tenth], "test": comments[tenth : 2 * tenth]}
    directory.mkdir(parents=True, exist_ok=True)
    write_text(directory / _README, _readme(rows, seed=seed))
    for name, path in paths.items():
        write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in parts[name]))
    return paths


def _refuse_overwriting(directory: Path, *, paths: Mapping[str, Path]) -> None:
    readme = directory / _README
    ours = readme.is_file() and readme.read_bytes().startswith(_TITLE.encode())
    for path in paths.values():
        if path.exists() and not ours:
            raise DataError("exists and is not a sample set; choose another directory", file=path)


def _comments(rows: int, rng: random.Random) -> list[dict[str, str | int]]:
    weights = [scenario.weight for scenario in SCENARIOS]
    comments: dict[str, dict[str, str | int]] = {}
    while len(comments) < rows:
        scenario = rng.choices(SCENARIOS, weights)[0]
        emotion = rng.choices(range(3), scenario.emotions)[0]
        text = _text(scenario, emotion=emotion, rng=rng)
        if text not in comments:
            comments[text] = {"text": text, **_labels((*scenario.labels, emotion), rng)}
    return list(comments.values())


def _labels(true: tuple[int, ...], rng: random.Random) -> dict[str, int]:
    """Labels by field, now and then wrong, as people's are."""
    labels = {}
    for task, label in zip(BUILTIN, true, strict=True):
        others = [other for other in range(len(task.classes)) if other != label]
        labels[task.field] = rng.choice(others) if rng.random() < LABEL_NOISE else label
    return labels


def _text(scenario: Scenario, *, emotion: int, rng: random.Random) -> str:
    core = _mistyped(_filled(rng.choice(scenario.templates), rng), rng)
    # One in three comments does not show its emotion; what is left of it is the scenario's habit.
    mood = [_word(BUILTIN[3].classes[emotion], rng)] if rng.random() < 0.67 else []
    sentences = [core, *mood] if rng.random() < 0.6 else [*mood, core]
    for _ in range(rng.choices(range(8), (32, 22, 14, 11, 8, 6, 4, 3))[0]):
        aside = _word("chat" if rng.random() < 0.5 else "aside", rng)
        sentences.insert(rng.choice((0, len(sentences))), _filled(aside, rng))
    return _joined(sentences, rng)


def _joined(sentences: list[str], rng: random.Random) -> str:
    text = sentences[0]
    for sentence in sentences[1:]:
        text += rng.choice(("，", "，", "。", " ", "、", "！", "…")) + sentence
    return text + rng.choice(("", "", "", "。", "！", "啊", "啦", "喔", "…", "？"))


def _filled(template: str, rng: random.Random) -> str:
    return _SLOT.sub(lambda slot: _word(slot[1], rng), template)


def _mistyped(sentence: str, rng: random.Random) -> str:
    """The sentence, every other time with a character lost, doubled or set apart."""
    if rng.random() > 0.5:
        return sentence
    position = rng.randrange(len(sentence))
    character = rng.choice(("", sentence[position] * 2, sentence[position] + "…", " " + sentence[position]))
    return sentence[:position] + character + sentence[position + 1 :]


def _word(slot: str, rng: random.Random) -> str:
    return rng.choice(WORDS[slot])


def _readme(rows: int, *, seed: int) -> str:
    tasks = "\n".join(f"  {task.field}: {', '.join(task.classes)}" for task in BUILTIN)
    return f"""{_TITLE}

{rows} comments in Traditional Chinese, put together from templates (seed {seed}) to try cp-search with.
Some {LABEL_NOISE:.0%} of the labels are wrong on purpose. Scores on it say nothing about real comments.
Split 80/10/10 into train.jsonl, val.jsonl and test.jsonl; no text occurs twice.

Labels, numbered from 0 in this order:
{tasks}
"""
