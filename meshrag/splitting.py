"""Text into pieces, at paragraphs, lines and words. EDGE: imports LangChain.

Called by `meshrag.ingestion`.
"""

from __future__ import annotations

from langchain_text_splitters import RecursiveCharacterTextSplitter

from meshrag.chunks import CHUNK_CHARACTERS, OVERLAP_CHARACTERS, Piece

_SPLITTER = RecursiveCharacterTextSplitter(
    chunk_size=CHUNK_CHARACTERS, chunk_overlap=OVERLAP_CHARACTERS, add_start_index=True
)


def split(text: str) -> list[Piece]:
    documents = _SPLITTER.create_documents([text])
    return [Piece(int(each.metadata["start_index"]), each.page_content) for each in documents]
