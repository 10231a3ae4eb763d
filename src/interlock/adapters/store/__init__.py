"""Where is what must outlive us kept? `sqlite` keeps it in one file; `place` says whether a file may lie there."""
