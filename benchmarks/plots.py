def draw(tables, folder):
    return []
