"""Retrieval-augmented generation: the code of one small image, which the blueprint `rag` runs as two workloads.

`python -m meshrag.ingest` brings the documents of a folder into a vector store and stays to keep it so; `python -m
meshrag.api` answers questions from that store, with citations. Both are told everything by variables
(`meshrag.settings`), and speak to model servers by the OpenAI style and to Milvus or PostgreSQL.

meshctl never imports this package, and this package nothing of meshctl.
"""
