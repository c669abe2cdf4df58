"""How far one study can grow, by measured costs and a simulated fleet: docs/scale.md."""
