def vectors():
    return []
