"""Tasks that the collection has too little of to measure: their heads train, are scored and coded like any other."""
