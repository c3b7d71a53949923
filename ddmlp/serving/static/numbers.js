// Formats a number as an integer with commas.

export const whole = (number) => number.toLocaleString("en", { maximumFractionDigits: 0 });
