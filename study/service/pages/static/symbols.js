// Hyperparameters by the papers' symbols, which the server knows: α for alpha.

const SYMBOLS = JSON.parse(document.documentElement.dataset.symbols);
const NAMES = new RegExp(`(?<![\\w-])(?:${Object.keys(SYMBOLS).join("|")})(?![\\w]|-\\w)`, "g");

export const symbolOf = (name) => SYMBOLS[name] ?? name;

// A sentence with symbols where it has names.
export const inSymbols = (sentence) => sentence.replace(NAMES, symbolOf);
