"""Any answer of any size, as files: asked page by page as anybody asks, kept part by part."""
