// Numbers, sizes, times in words.

const UNITS = ["B", "kB", "MB", "GB", "TB"];

export function bytes(count: number): string {
  let unit = 0;
  let value = count;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

export function count(value: number, one: string, many = `${one}s`): string {
  return `${value.toLocaleString("en")} ${value === 1 ? one : many}`;
}

/** 42 s, 5 min, 1 h 20 min, 3 days. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.round(whole / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.round(hours / 24)} days`;
}

/** An interval as one says it: 4–6 min. */
export function interval(low: number, high: number): string {
  if (high < 90) return `${Math.round(low)}–${Math.round(high)} s`;
  if (high < 5400) return `${Math.max(1, Math.round(low / 60))}–${Math.round(high / 60)} min`;
  const tenths = (seconds: number) => String(Math.round(seconds / 360) / 10);
  return `${tenths(low)}–${tenths(high)} h`;
}

export function when(seconds: number): string {
  const passed = Date.now() / 1000 - seconds;
  if (passed < 60) return "just now";
  if (passed < 3600) return `${Math.round(passed / 60)} min ago`;
  const date = new Date(seconds * 1000);
  const isToday = date.toDateString() === new Date().toDateString();
  if (isToday) return `today, ${date.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" })}`;
  return date.toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });
}

export function date(seconds: number): string {
  return new Date(seconds * 1000).toLocaleString(undefined, { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
}

export function percent(fraction: number): string {
  return `${Math.floor(100 * fraction + 1e-9)} %`;
}
