package main // catalog
