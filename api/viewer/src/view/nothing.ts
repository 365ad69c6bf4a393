// Stands in for what the package copc imports and this page does not use: its own unpacker and its own fetch.
export {};
