// Formulas of questions, answers and docstrings, from TeX to MathML. What isn't known stays as it was written.
const MATHML = "http://www.w3.org/1998/Math/MathML";
const LONGEST_FORMULA = 4000, DEEPEST_FORMULA = 60;
const m = (tag, props, ...children) => fill(document.createElementNS(MATHML, tag), props, children);

// Without a prototype: \constructor is no letter.
const known = (entries) => Object.assign(Object.create(null), entries);
const pairs = (text) => known(Object.fromEntries(text.trim().split(/\s+/).map((pair) => [pair.slice(0, -[...pair].at(-1).length), [...pair].at(-1)])));
const LETTERS = pairs(`alphaα betaβ gammaγ deltaδ epsilonϵ varepsilonε zetaζ etaη thetaθ varthetaϑ iotaι kappaκ lambdaλ muμ nuν xiξ piπ varpiϖ
  rhoρ sigmaσ varsigmaς tauτ upsilonυ phiϕ varphiφ chiχ psiψ omegaω GammaΓ DeltaΔ ThetaΘ LambdaΛ XiΞ PiΠ SigmaΣ UpsilonΥ PhiΦ PsiΨ OmegaΩ
  infty∞ ellℓ hbarℏ emptyset∅ varnothing∅ partial∂ nabla∇ Reℜ Imℑ alephℵ angle∠ triangle△ degree° prime′ top⊤ bot⊥`);
const SIGNS = pairs(`cdot⋅ times× div÷ pm± mp∓ le≤ leq≤ leqslant⩽ ge≥ geq≥ geqslant⩾ ll≪ gg≫ ne≠ neq≠ approx≈ equiv≡ sim∼ simeq≃ cong≅ propto∝
  to→ rightarrow→ leftarrow← Rightarrow⇒ Leftarrow⇐ leftrightarrow↔ Leftrightarrow⇔ iff⇔ implies⇒ mapsto↦ longrightarrow⟶ uparrow↑ downarrow↓
  in∈ notin∉ ni∋ subset⊂ subseteq⊆ supset⊃ supseteq⊇ cup∪ cap∩ setminus∖ backslash∖ forall∀ exists∃ neg¬ lnot¬ land∧ lor∨ wedge∧ vee∨
  ldots… dots… dotsc… cdots⋯ dotsb⋯ vdots⋮ ddots⋱ circ∘ bullet∙ star⋆ ast∗ perp⊥ parallel∥ mid∣ nmid∤ oplus⊕ otimes⊗ odot⊙ therefore∴ because∵
  colon: lt< gt> square□ Box□ diamond⋄ rightleftharpoons⇌`);
const LARGE = pairs("sum∑ prod∏ coprod∐ bigcup⋃ bigcap⋂ bigoplus⨁ bigvee⋁ bigwedge⋀");
const INTEGRALS = pairs("int∫ iint∬ iiint∭ oint∮");
const FENCES = pairs("lfloor⌊ rfloor⌋ lceil⌈ rceil⌉ langle⟨ rangle⟩ lvert| rvert| vert| lVert‖ rVert‖ Vert‖ |‖ {{ }} lbrace{ rbrace} lbrack[ rbrack]");
const ACCENTS = pairs("bar¯ hat^ widehat^ vec→ overrightarrow→ overleftrightarrow↔ tilde~ widetilde~ dot˙ ddot¨ overline¯ overbrace⏞ overarc⌒ wideparen⌒");
const SPACES = known({ ",": ".17em", ":": ".22em", ">": ".22em", ";": ".28em", "!": "0em", " ": ".25em", quad: "1em", qquad: "2em", "~": ".25em" });
const NAMES = new Set("sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln lg exp max min sup inf lim limsup liminf gcd lcm det dim ker deg arg hom Pr".split(" "));
const UNDER = new Set(["lim", "max", "min", "sup", "inf", "limsup", "liminf", "gcd", "lcm", "Pr", "det"]);
const VARIANTS = known({ mathbf: "b", boldsymbol: "b", bm: "b", mathbb: "bb", mathcal: "cal", mathscr: "cal", mathfrak: "frak" });
const PLAIN = new Set(["mathrm", "operatorname", "operatorname*", "mathsf", "mathtt", "mathit", "mathop"]);
const TEXTS = new Set(["text", "textbf", "textit", "textrm", "textsf", "texttt", "textup", "textnormal", "mbox", "hbox", "emph"]);
const NOTHING = new Set(["displaystyle", "textstyle", "scriptstyle", "limits", "nolimits", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr", "biggl", "biggr", "Biggl", "Biggr", "nonumber", "notag", "hfill", "centering", "/"]);
const TABLES = known({
  matrix: ["", ""], smallmatrix: ["", ""], pmatrix: ["(", ")"], bmatrix: ["[", "]"], Bmatrix: ["{", "}"], vmatrix: ["|", "|"], Vmatrix: ["‖", "‖"],
  cases: ["{", ""], array: ["", ""], aligned: ["", ""], align: ["", ""], split: ["", ""], gathered: ["", ""], gather: ["", ""], equation: ["", ""], eqnarray: ["", ""], alignat: ["", ""],
});
// Letters beyond the basic plane: bold a is U+1D41A, and so on; these few stand elsewhere.
const STARTS = { b: [0x1d400, 0x1d41a, 0x1d7ce], bb: [0x1d538, 0x1d552, 0x1d7d8], cal: [0x1d49c, 0x1d4b6], frak: [0x1d504, 0x1d51e] };
const ELSEWHERE = { bb: pairs("Cℂ Hℍ Nℕ Pℙ Qℚ Rℝ Zℤ"), cal: pairs("Bℬ Eℰ Fℱ Hℋ Iℐ Lℒ Mℳ Rℛ eℯ gℊ oℴ"), frak: pairs("Cℭ Hℌ Iℑ Rℜ Zℨ"), b: {} };
function variant(kind, text) {
  return [...text].map((c) => {
    if (ELSEWHERE[kind][c]) return ELSEWHERE[kind][c];
    const at = [/[A-Z]/, /[a-z]/, /[0-9]/].findIndex((range) => range.test(c));
    const start = STARTS[kind][at];
    return start === undefined ? c : String.fromCodePoint(start + c.charCodeAt(0) - "Aa0".charCodeAt(at));
  }).join("");
}

class Formula {
  constructor(source, block) {
    if (source.length > LONGEST_FORMULA) throw new RangeError("a formula as long as a page");
    this.tokens = source.match(/\\[a-zA-Z]+\*?|\\[^]|\d+(?:[.,]\d+)*|%[^\n]*\n?|\s+|[^]/gu) ?? [];
    [this.at, this.depth, this.block] = [0, 0, block];
  }
  read() {
    const row = this.row(() => false);
    return m("math", { display: this.block ? "block" : null }, row);
  }
  skip() { while (/^[\s%]/.test(this.tokens[this.at] ?? "")) this.at++; }
  peek() { this.skip(); return this.tokens[this.at]; }
  next() {
    const token = this.peek();
    if (token === undefined) throw new RangeError("a formula that ends early");
    this.at++;
    return token;
  }
  take(...wanted) {
    if (!wanted.includes(this.peek())) return false;
    this.at++;
    return true;
  }
  row(ends) {
    if (++this.depth > DEEPEST_FORMULA) throw new RangeError("a formula too deep");
    const nodes = [];
    for (let token = this.peek(); token !== undefined && !ends(token); token = this.peek()) {
      if (this.take("\\over")) {
        nodes.splice(0, nodes.length, m("mfrac", null, m("mrow", null, [...nodes]), this.row(ends)));
        continue;
      }
      const node = this.scripted();
      if (node) nodes.push(node);
    }
    this.depth--;
    return m("mrow", null, nodes);
  }
  group() {
    if (!this.take("{")) return this.atom(this.next()) ?? m("mrow");
    const row = this.row((token) => token === "}");
    if (!this.take("}")) throw new RangeError("a group without an end");
    return row;
  }
  // The text of a group as it stands, for words rather than mathematics.
  words() {
    if (this.next() !== "{") return this.tokens[this.at - 1];
    let [text, open] = ["", 1];
    for (;;) {
      const token = this.tokens[this.at++];
      if (token === undefined) throw new RangeError("words without an end");
      if (token === "{") open++;
      if (token === "}" && --open === 0) return text;
      if (!"{}$".includes(token)) text += token.replace(/^\\([^a-zA-Z])$/, "$1").replace(/^~$/, "\u00a0");
    }
  }
  scripted() {
    const token = this.peek();
    const base = token === "^" || token === "_" || token === "'" ? m("mrow") : this.atom(this.next());
    let [low, high] = [null, null];
    const primes = [];
    for (;;) {
      if (this.take("_")) low = this.group();
      else if (this.take("^")) high = this.group();
      else if (this.take("'")) primes.push(m("mo", null, "′"));
      else if (base && this.take("\\limits", "\\nolimits")) continue;
      else break;
    }
    if (primes.length) high = m("mrow", null, primes, high);
    if (!low && !high) return base;
    const kind = base?.hasAttribute("data-limits") && this.block ? ["munder", "mover", "munderover"] : ["msub", "msup", "msubsup"];
    return m(kind[low && high ? 2 : high ? 1 : 0], null, base ?? m("mrow"), low, high);
  }
  atom(token) {
    if (token === "{") { this.at--; return this.group(); }
    if (token === "}" || token === "&" || token === "\\\\") throw new RangeError(`a ${token} out of place`);
    if (token === "~") return m("mspace", { width: SPACES["~"] });
    if (token[0] !== "\\") {
      if (/^\d/.test(token)) return m("mn", null, token);
      if (/^[a-zA-Z]/.test(token)) return m("mi", null, token);
      if (/^\p{L}/u.test(token)) return m("mi", null, token);
      return m("mo", { stretchy: "()[]|".includes(token) ? "false" : null, ...(token === "|" ? { lspace: "0", rspace: "0" } : {}) }, token === "-" ? "−" : token === "*" ? "∗" : token);
    }
    return this.command(token.slice(1));
  }
  command(name) {
    if (LETTERS[name]) return m("mi", { mathvariant: /^[A-Z]/.test(name) ? "normal" : null }, LETTERS[name]);
    if (SIGNS[name]) return m("mo", null, SIGNS[name]);
    if (LARGE[name]) return m("mo", { "data-limits": true }, LARGE[name]);
    if (INTEGRALS[name]) return m("mo", null, INTEGRALS[name]);
    if (FENCES[name]) return m("mo", { stretchy: "false" }, FENCES[name]);
    if (SPACES[name]) return m("mspace", { width: SPACES[name] });
    if (NAMES.has(name)) return m("mo", { form: "prefix", lspace: "0", rspace: ".17em", "data-limits": UNDER.has(name) }, name);
    if (NOTHING.has(name)) return null;
    if (TEXTS.has(name)) return m("mtext", null, this.words().replace(/^ | $/g, "\u00a0"));
    if (PLAIN.has(name)) return m("mi", { mathvariant: "normal" }, this.words().replace(/\\[a-zA-Z]+|\\./g, "").trim());
    if (VARIANTS[name]) return m("mi", null, variant(VARIANTS[name], this.words()));
    if (ACCENTS[name]) return m("mover", { accent: "true" }, this.group(), m("mo", null, ACCENTS[name]));
    const build = this[`_${name}`] ?? (/^[$%&#_]$/.test(name) ? () => m("mo", null, name) : null);
    if (!build) throw new RangeError(`\\${name} is not known`);
    return build.call(this);
  }
  _frac() { return m("mfrac", null, this.group(), this.group()); }
  _dfrac() { return m("mfrac", { displaystyle: "true" }, this.group(), this.group()); }
  _tfrac() { return this._frac(); }
  _cfrac() { return this._dfrac(); }
  _binom() { return m("mrow", null, m("mo", null, "("), m("mfrac", { linethickness: "0" }, this.group(), this.group()), m("mo", null, ")")); }
  _dbinom() { return this._binom(); }
  _tbinom() { return this._binom(); }
  _sqrt() {
    if (!this.take("[")) return m("msqrt", null, this.group());
    const degree = this.row((token) => token === "]");
    this.take("]");
    return m("mroot", null, this.group(), degree);
  }
  _underline() { return m("munder", null, this.group(), m("mo", null, "_")); }
  _underbrace() { return m("munder", { "data-limits": true }, this.group(), m("mo", null, "⏟")); }
  _overset() { const over = this.group(); return m("mover", null, this.group(), over); }
  _stackrel() { return this._overset(); }
  _underset() { const under = this.group(); return m("munder", null, this.group(), under); }
  _boxed() { return m("mrow", { class: "boxed" }, this.group()); }
  _fbox() { return m("mtext", { class: "boxed" }, this.words()); }
  _not() { return m("mo", null, `${this.group().textContent}\u0338`); }
  _pmod() { return m("mrow", null, m("mspace", { width: ".5em" }), m("mo", null, "("), m("mi", null, "mod"), m("mspace", { width: ".25em" }), this.group(), m("mo", null, ")")); }
  _mod() { return m("mrow", null, m("mspace", { width: ".4em" }), m("mi", null, "mod"), m("mspace", { width: ".25em" })); }
  _bmod() { return this._mod(); }
  _phantom() { return m("mphantom", null, this.group()); }
  _hspace() { this.words(); return m("mspace", { width: ".5em" }); }
  _vspace() { this.words(); return null; }
  _label() { this.words(); return null; }
  _tag() { return m("mtext", null, `\u2003(${this.words()})`); }
  _color() { this.words(); return null; }
  _textcolor() { this.words(); return this.group(); }
  _hline() { return null; }
  fence() {
    const token = this.next();
    const text = token[0] === "\\" ? FENCES[token.slice(1)] ?? SIGNS[token.slice(1)] : token;
    if (text === undefined) throw new RangeError(`${token} is no bracket`);
    return text === "." ? null : m("mo", { fence: "true", stretchy: "true" }, text === "<" ? "⟨" : text === ">" ? "⟩" : text);
  }
  _left() {
    const left = this.fence();
    const inside = [];
    do inside.push(inside.length ? this.fence() : null, this.row((token) => token === "\\right" || token === "\\middle"));
    while (this.take("\\middle"));
    if (!this.take("\\right")) throw new RangeError("\\left without \\right");
    return m("mrow", null, left, inside, this.fence());
  }
  _begin() {
    const name = this.words();
    const kind = name.replace("*", "");
    const fences = TABLES[kind];
    if (!fences) throw new RangeError(`${name} is not known`);
    if (kind === "array" || kind === "alignat") this.words();
    const rows = [];
    const ends = (token) => token === "&" || token === "\\\\" || token === "\\end";
    let cells = [];
    for (;;) {
      cells.push(m("mtd", null, this.row(ends)));
      if (this.take("&")) continue;
      rows.push(m("mtr", null, cells));
      cells = [];
      if (!this.take("\\\\")) break;
      if (this.take("[")) { this.row((token) => token === "]"); this.take("]"); }
    }
    if (!this.take("\\end") || this.words() !== name) throw new RangeError(`${name} without an end`);
    if (rows.length > 1 && rows.at(-1).textContent === "") rows.pop();
    const aligned = /^(align|aligned|split|eqnarray|alignat)$/.test(kind) ? "aligned" : kind === "cases" ? "cases" : null;
    const fence = (text) => (text ? m("mo", { fence: "true", stretchy: "true" }, text) : null);
    return m("mrow", null, fence(fences[0]), m("mtable", { class: aligned }, rows), fence(fences[1]));
  }
}
function formula(source, block = false) {
  try {
    return new Formula(source, block).read();
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}
// A dollar sign opens a formula where no space follows, and closes one where none is before it and no digit after: prices stay prices.
// Each part is as long as a formula may be at most, so that looking for its end takes no time however often one begins.
const FORMULAS = /\$\$((?:\\[^]|[^$\\]){1,4000})\$\$|\\\[([^]{1,4000}?)\\\]|(\\begin\{((?:align|gather|equation|eqnarray)\*?)\}[^]{1,4000}?\\end\{\4\})|\\\(([^]{1,4000}?)\\\)|\$(?![\s$])((?:\\[^]|[^$\\]){1,4000}?)(?<!\s)\$(?![\d$])/g;
function rich(text) {
  const out = [];
  let at = 0;
  for (const match of text.matchAll(FORMULAS)) {
    const [whole, block, square, table, , round, dollar] = match;
    out.push(text.slice(at, match.index), formula(block ?? square ?? table ?? round ?? dollar, Boolean(block ?? square ?? table)) ?? whole);
    at = match.index + whole.length;
  }
  out.push(text.slice(at));
  return out.filter((part) => part !== "");
}
// An answer is a formula where it looks like one.
const answer = (text) => (/[\\^_]/.test(text) ? formula(text.replace(/^\$|\$$/g, "")) ?? text : text);
