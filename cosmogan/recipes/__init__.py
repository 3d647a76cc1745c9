"""The recipes that ship with cosmogan; `cosmogan.recipe.shipped` lists them."""
