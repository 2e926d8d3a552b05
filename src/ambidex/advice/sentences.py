"""Sentences of a posting, with their exact places, even where line breaks were lost."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Sentence", "split"]


@dataclass(frozen=True, slots=True)
class Sentence:
    """A piece of the text: ``text == source[start:end]``."""

    text: str
    start: int
    end: int


LONGEST = 1_000
"""Letters; a longer piece is cut at a comma, semicolon or blank."""

_LINES = re.compile(r"[\r\n]+|\s*[•●▪◦‣∙■❖➢✓✔·]\s*|\s+[-–—*]\s+(?=\S)")
_STOP = re.compile(
    r"""[.!?…]["')\]”’]*(?=\s+["'(\[“‘]?[A-Z0-9]|["'(\[“‘]?[A-Z][a-z]|["'(\[“‘]?[A-Z]{2,}\b|$)|;\s+|:\s+(?=[A-Z])"""
)
_ABBREVIATED = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|vs|inc|ltd|co|corp|sr|jr|dr|mr|ms|mrs|st|no|approx|dept|est|min|max|u\.s|u\.k|ph\.d|"
    r"b\.s|m\.s|b\.a|m\.a|b\.sc|m\.sc|b\.tech|m\.tech|a\.m|p\.m|d\.c|node|asp|vue|next|express|three|d3)|\b[A-Z]|\d)\.$",
    re.IGNORECASE,
)
_GLUED = re.compile(r"(?<=[a-z0-9)%+])(?=[A-Z][a-z]|[A-Z]{2,}[a-z]?\b)|(?<=[a-z]{2}\))(?=[A-Z])")
_TOKEN = re.compile(r"[A-Za-z0-9+#&'’]+")
_CAMEL = frozenset(
    re.findall(
        r"\S+",
        """
        PyTorch TensorFlow LinkedIn JavaScript TypeScript GitHub GitLab BitBucket PowerPoint PowerBI DevOps MLOps
        LLMOps DataOps AIOps DevSecOps iOS eCommerce NumPy SciPy MySQL NoSQL PostgreSQL GraphQL OpenCV OpenAI
        OpenCL OpenGL SageMaker BigQuery DataBricks PhD PhDs McKinsey HuggingFace LangChain LlamaIndex ChatGPT
        YouTube PayPal FinTech InsurTech AdTech BioTech EdTech MarTech WordPress CatBoost XGBoost LightGBM MLflow
        MLFlow KubeFlow CloudFormation CloudWatch DynamoDB MongoDB HBase DataRobot ElasticSearch RabbitMQ GraphX
        GraphLab MapReduce PySpark SparkML SparkSQL RStudio JetBrains DeepMind DeepSpeed TensorRT cuDNN
        PowerShell SharePoint FastAPI CircleCI TeamCity DataStage DataFrame QlikView QlikSense QuickSight AutoML
        VertexAI GenAI CentOS MacOS macOS LaTeX VoIP IoT SaaS PaaS IaaS MaaS LLMs APIs KPIs GPUs CPUs SDKs CNNs
        RNNs GANs SVMs OKRs ETLs VMs PMs ICs HPCs UIs DBs SQLite SQLAlchemy SnowFlake LexisNexis DoorDash
        MasterCard JPMorgan HealthCare BlackRock WeWork AirBnB eBay iPhone iPad NetSuite HubSpot SalesForce
        TigerGraph Neo4J
        """,
    )
)
_HEADS = re.compile(
    r"(?<![\w'’])"
    r"(?:Key |Primary |Core |Basic |Minimum |Preferred |Required |Desired |Additional |Job |Role |Essential )?"
    r"(?:Responsibilities|Qualifications|Requirements|Must[- ]Haves?|Nice[- ][Tt]o[- ]Haves?|What You['’]ll Do|"
    r"What You['’]ll Bring|What You['’]ll Need|Who You Are|About You|About Us|About The Role|About the Role|"
    r"Duties|Benefits|Perks)\s*:?(?=\s*[A-Z(“\"]|\s*[-•])"
)


def split(text: str) -> list[Sentence]:
    """Sentences, list items and headings, in order.

    Breaks at line ends, bullets and full stops; where a text has lost its line breaks also between words that
    were glued ("experiences.We believe", "TeamPowerPoint") unless the whole is a name that is written so.

    >>> [s.text for s in split("We grow.You will:\\n- build models in PyTorch\\n- present findings")]
    ['We grow.', 'You will:', 'build models in PyTorch', 'present findings']
    """
    glued = _is_glued(text)
    out = []
    for start, end in _pieces(text, glued):
        while start < end and (text[start].isspace() or text[start] in "-–—*•"):
            start += 1
        while end > start and text[end - 1].isspace():
            end -= 1
        if end > start:
            out.append(Sentence(text[start:end], start, end))
    return out


def _is_glued(text: str) -> bool:
    """True where line breaks are rare for its length, as in texts copied out of a page."""
    return text.count("\n") < len(text) / 400


def _pieces(text: str, glued: bool) -> Iterator[tuple[int, int]]:
    named = _own_names(text) if glued else _CAMEL
    at = 0
    for line in _LINES.finditer(text):
        yield from _parts(text, at, line.start(), glued, named)
        at = line.end()
    yield from _parts(text, at, len(text), glued, named)


def _own_names(text: str) -> frozenset[str]:
    """Names with a capital inside: the known ones, and what this text writes so several times."""
    inside = re.compile(r"\b[A-Za-z]+[a-z][A-Z][A-Za-z]*\b")
    often = Counter(inside.findall(text))
    return _CAMEL | {w for w, n in often.items() if n >= 3 and len(w) <= 20}


def _parts(text: str, start: int, end: int, glued: bool, named: frozenset[str]) -> Iterator[tuple[int, int]]:
    cuts = {start, end}
    for stop in _STOP.finditer(text, start, end):
        if stop.end() < end and not _ABBREVIATED.search(text, max(start, stop.start() - 8), stop.start() + 1):
            cuts.add(stop.end())
    if glued:
        for seam in _GLUED.finditer(text, start, end):
            if start < seam.start() < end and not _inside_a_name(text, seam.start(), named):
                cuts.add(seam.start())
    for head in _HEADS.finditer(text, start, end):
        cuts.update((head.start(), head.end()))
    ordered = sorted(cuts)
    for a, b in pairwise(ordered):
        yield from _short_enough(text, a, b)


def _inside_a_name(text: str, seam: int, named: frozenset[str]) -> bool:
    left = seam
    while left > 0 and (text[left - 1].isalnum() or text[left - 1] in "+#"):
        left -= 1
    right = seam
    while right < len(text) and text[right].isalnum():
        right += 1
    whole = text[left:right]
    if whole in named:
        return True
    if any(whole.startswith(n) and left < seam < left + len(n) for n in named):
        return True
    if any(whole.endswith(n) and right - len(n) < seam < right for n in named):
        return True
    before = seam - left
    return before < 2 or (text[left:seam].istitle() and before < 4 and right - seam > 2)  # McKinsey, DeVry


def _short_enough(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while end - start > LONGEST:
        window = text[start : start + LONGEST]
        cut = max(window.rfind("; "), window.rfind(", "))
        cut = cut + 1 if cut > LONGEST // 3 else window.rfind(" ")
        cut = cut if cut > 0 else LONGEST
        yield start, start + cut
        start += cut
    yield start, end
