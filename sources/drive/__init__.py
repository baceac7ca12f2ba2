"""Google Drive as a source: files, folders and permissions through its API, version 3, and what is in the files."""
