"""Records to tables for people: markdown pages and terminal views."""
