"""Tables: any file, SELECT or dataframe in; what its columns are; which rows it holds; who its customers are."""
