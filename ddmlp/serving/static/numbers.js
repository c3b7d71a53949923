// Formats numbers as integers with commas.

export const whole = (number) => number.toLocaleString("en", { maximumFractionDigits: 0 });

export const plural = (count, noun) => `${whole(count)} ${noun}${count === 1 ? "" : "s"}`;
