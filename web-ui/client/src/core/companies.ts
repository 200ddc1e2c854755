// The companies seen so far, each with a small number, a colour and a shape, so that colour is never the only sign.

export const SHAPES = ['circle', 'square', 'triangle', 'diamond'] as const;
export type Shape = (typeof SHAPES)[number];

export interface Company {
  index: number;
  name: string;
  /** `#rrggbb`. */
  color: string;
  shape: Shape;
}

/** Okabe and Ito's colours, for a company whose own is missing or unreadable: told apart by colour-blind eyes too. */
const PALETTE = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#8a6fd1', '#7a7a7a'];

export class Companies {
  readonly list: Company[] = [];
  #byName = new Map<string, Company>();
  /** Counts changes, so that what is drawn from the list knows when to look again. */
  version = 0;

  get(name: string): Company | undefined {
    return this.#byName.get(name);
  }

  /** Learns of a company. What a position says of its colour and shape wins over what was assumed before. */
  learn(name: string, color?: string, shape?: string): Company {
    const known = this.#byName.get(name);
    if (known && color === undefined) return known;
    const company = known ?? this.#add(name);
    const nextColor = color !== undefined && isColor(color) ? color.toLowerCase() : company.color;
    const nextShape = shape !== undefined && isShape(shape) ? shape : company.shape;
    if (nextColor !== company.color || nextShape !== company.shape) {
      company.color = nextColor;
      company.shape = nextShape;
      this.version++;
    }
    return company;
  }

  #add(name: string): Company {
    const index = this.list.length;
    const company: Company = {
      index,
      name,
      color: PALETTE[index % PALETTE.length]!,
      shape: SHAPES[index % SHAPES.length]!,
    };
    this.list.push(company);
    this.#byName.set(name, company);
    this.version++;
    return company;
  }
}

export function isShape(text: string): text is Shape {
  return (SHAPES as readonly string[]).includes(text);
}

export function isColor(text: string): boolean {
  return /^#[0-9a-f]{6}$/i.test(text);
}

/** Red, green and blue of `#rrggbb`, each 0 to 255. */
export function rgb(color: string): [number, number, number] {
  const value = Number.parseInt(color.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}
