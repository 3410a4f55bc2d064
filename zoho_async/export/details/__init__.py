"""What is read per record: full records, child lists, documents."""
