"""What each kind of database says in its own way: types of columns in, how they are bound, compared and cut out."""
