create database boutique;
