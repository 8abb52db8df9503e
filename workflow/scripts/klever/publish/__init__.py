"""What a person looks at: pages, tables, the recovery of the truth, the state of a run."""
