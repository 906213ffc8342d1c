"""Results trees and `.pt` files → checked, typed arrays."""
