//! Bytes to pages, blocks with boxes, and passages.
