"""Pure: text and values in, text and values out."""
