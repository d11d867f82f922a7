//! Catalogue, keyword index, vectors, search and rights.
