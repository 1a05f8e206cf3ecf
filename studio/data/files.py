"""The kinds of files that can hold rows, by the ends of their names."""

ROW_EXTENSIONS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow")
TEXT_EXTENSIONS = (".txt", ".md", ".markdown")
DOCUMENT_EXTENSIONS = (*TEXT_EXTENSIONS, ".pdf", ".docx")
# what people keep their rows in and what is not read; who uploads one is told what to do
SPREADSHEET_EXTENSIONS = (".xlsx", ".xls", ".xlsm", ".ods")
EXTENSIONS = (*ROW_EXTENSIONS, *DOCUMENT_EXTENSIONS, ".gz", ".zip")
