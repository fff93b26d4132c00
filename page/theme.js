/* Before the first paint: the theme that was chosen here, if one was. A plain script, since a module would come too late. */
try {
  const theme = localStorage.getItem('campanile.theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // No storage: as the system has it.
}
