"""The package that an Office file is: its parts, and which belongs to which.

Word, Excel and PowerPoint open more than the libraries for their files do: names with backslashes
or in other letters than they are called by, relations to parts that are not there, ISO Strict's
namespaces, content types of templates and slide shows. So the parts are found here, by the
relations alone, as Office does it; and what nobody reads (pictures, fonts) is never inflated.
"""

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import unquote

from lxml import etree

from processing.errors import PermanentError
from processing.parsing.archive import UNREADABLE, Archive
from processing.parsing.sentences import DAMAGED

# One XML parser for all parts: no entities, no network; libxml2's limits on depth and length stay.
_PARSER = etree.XMLParser(
    resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True
)
_LENIENT = etree.XMLParser(
    resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True, recover=True
)
# ISO Strict's names are the others' without the year: ".../ooxml/drawingml/main".
_STRICT = re.compile(rb"http://purl\.oclc\.org/ooxml/(\w+)/")
_TRANSITIONAL = rb"http://schemas.openxmlformats.org/\1/2006/"
_RELATIONS = "{http://schemas.openxmlformats.org/package/2006/relationships}Relationship"
_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"


@dataclass(frozen=True, slots=True)
class Relation:
    """From one part to another: its id there, the end of its type ("image"), the other's name."""

    id: str
    kind: str
    target: str


class Package:
    """Parts are called by their names in the archive, "word/document.xml", in any case."""

    def __init__(self, file: IO[bytes]) -> None:
        """Raises PermanentError: see `Archive`."""
        self._archive = Archive(file)
        self._members = {
            _plain(member.filename): member
            for member in self._archive.infolist()
            if not member.is_dir()
        }
        self.damaged = 0  # parts that could not be read, or not whole
        self._relations: dict[str, dict[str, Relation]] = {}  # of a part, by their ids

    def main(self, usual: str) -> str:
        """The part that all others belong to: what the package says, else what it is `usually`
        called. Raises PermanentError("corrupt").
        """
        said = [relation.target for relation in self.related("", "officeDocument")]
        for name in (*said, usual):
            if name in self:
                return name
        raise PermanentError("corrupt", DAMAGED)

    def __contains__(self, name: str) -> bool:
        return _plain(name) in self._members

    def related(self, part: str, *kinds: str) -> list[Relation]:
        """The relations of a part ("" is the package) to parts that there are, of these kinds or of
        any.
        """
        return [r for r in self._of(part).values() if not kinds or r.kind in kinds]

    def target(self, part: str, id: str | None) -> str | None:
        """The part that this part calls so."""
        relation = self._of(part).get(id or "")
        return None if relation is None else relation.target

    def first(self, part: str, kind: str) -> str | None:
        """The only part of its kind that belongs to this one: its styles, its notes."""
        return next((r.target for r in self.related(part, kind)), None)

    def xml(self, part: str, root: str = "") -> Any:
        """The part's root element, ISO Strict's namespaces made the usual ones.

        The part without which there is no document must be whole and called `root`: else this
        raises PermanentError("corrupt"). Of any other one, what can be read is, and `damaged`
        counts it: a chart that is damaged keeps nobody's program from showing the rest.
        """
        data = usual_names(self.read(part))
        try:
            found = etree.fromstring(data, _PARSER)
        except etree.XMLSyntaxError as error:
            if root:
                raise PermanentError("corrupt", DAMAGED) from error
            self.damaged += 1
            found = etree.fromstring(data, _LENIENT) if data.strip() else None
        if root and etree.QName(found).localname != root:
            raise PermanentError("corrupt", DAMAGED)
        return etree.Element("nothing") if found is None else found

    def read(self, part: str) -> bytes:
        return self._archive.read(self._members[_plain(part)])

    def content(self, part: str) -> bytes | None:
        """The same; None where it cannot be read."""
        try:
            return self.read(part)
        except UNREADABLE:
            return None

    def open(self, part: str) -> IO[bytes]:
        """The part as a stream, its namespaces as they are (see `usual_names`)."""
        return self._archive.open(self._members[_plain(part)])

    def _of(self, part: str) -> dict[str, Relation]:
        if part not in self._relations:
            self._relations[part] = {r.id: r for r in self._read_relations(part)}
        return self._relations[part]

    def _read_relations(self, part: str) -> Iterator[Relation]:
        folder, name = posixpath.split(part)
        relations = posixpath.join(folder, "_rels", f"{name}.rels")
        if relations not in self:
            return
        for element in self.xml(relations).iter(_RELATIONS):
            target = element.get("Target", "").replace("\\", "/")
            target = posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
            if element.get("TargetMode") == "External":
                continue
            for spelling in (target, unquote(target)):
                if spelling in self:
                    kind = element.get("Type", "").rsplit("/", 1)[-1]
                    yield Relation(element.get("Id", ""), kind, spelling)
                    break


def usual_names(xml: bytes) -> bytes:
    """XML with the namespaces of ISO Strict made those that everybody else writes."""
    return _STRICT.sub(_TRANSITIONAL, xml)


def relation_id(element: Any, name: str = "id") -> str | None:
    """What an element calls the part that it shows: its attribute `r:<name>`."""
    id: str | None = element.get(f"{_R}{name}")
    return id


def _plain(name: str) -> str:
    return name.replace("\\", "/").lstrip("/").casefold()
