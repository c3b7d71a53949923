// A number as whole, with commas.

export const whole = (number) => number.toLocaleString("en", { maximumFractionDigits: 0 });
