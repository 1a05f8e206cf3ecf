"""The kinds of files that can hold rows, by the ends of their names."""

ROW_EXTENSIONS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow")
TEXT_EXTENSIONS = (".txt", ".md", ".markdown")
DOCUMENT_EXTENSIONS = (*TEXT_EXTENSIONS, ".pdf", ".docx")
EXTENSIONS = (*ROW_EXTENSIONS, *DOCUMENT_EXTENSIONS, ".gz", ".zip")
