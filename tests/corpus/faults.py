FAULTS: dict[str, str] = {}
